//! Measurements: one failover split into its parts, and address queries.
