//! The catalogue: each event's name on the wire and its level.

use std::fmt;

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `.`
    Debug,
    /// `-`
    Verbose,
    /// `*`
    Notice,
    /// `#`
    Warning,
}

impl Level {
    /// The mark in Redis's log line format.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Debug => '.',
            Self::Verbose => '-',
            Self::Notice => '*',
            Self::Warning => '#',
        }
    }

    /// The name in `loglevel` and in logfmt.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Notice => "notice",
            Self::Warning => "warning",
        }
    }
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident = $text:literal $level:ident,)*) => {
        /// Every event that this server can emit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EventName {
            $($(#[$doc])* $variant,)*
        }

        impl EventName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, which is also the channel.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The level at which it is logged.
            #[must_use]
            pub fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)* }
            }
        }
    };
}

catalogue! {
    /// A master is monitored.
    Monitor = "+monitor" Warning,
    /// A master is not monitored any more.
    MonitorEnd = "-monitor" Warning,
    /// An option of a master was set.
    Set = "+set" Warning,
    /// `SENTINEL RESET`.
    ResetMaster = "+reset-master" Warning,
    /// A new replica.
    Slave = "+slave" Notice,
    /// A new sentinel.
    Sentinel = "+sentinel" Notice,
    /// A sentinel's address changed.
    SentinelAddressSwitch = "+sentinel-address-switch" Notice,
    /// The same, in other groups.
    SentinelAddressUpdate = "+sentinel-address-update" Notice,
    /// Another sentinel claims this one's address.
    SentinelInvalidAddr = "+sentinel-invalid-addr" Notice,
    /// The run id changed.
    Reboot = "+reboot" Notice,
    /// The reported role changed to the committed one.
    RoleChange = "+role-change" Verbose,
    /// The reported role changed away from the committed one.
    RoleChangeWrong = "-role-change" Verbose,
    /// Subjectively down.
    Sdown = "+sdown" Warning,
    /// No longer subjectively down.
    SdownEnd = "-sdown" Warning,
    /// Objectively down.
    Odown = "+odown" Warning,
    /// No longer objectively down.
    OdownEnd = "-odown" Warning,
    /// The current epoch rose.
    NewEpoch = "+new-epoch" Warning,
    /// A failover attempt starts.
    TryFailover = "+try-failover" Warning,
    /// The executor of an attempt is fixed.
    VoteForLeader = "+vote-for-leader" Warning,
    /// This sentinel executes the attempt.
    ElectedLeader = "+elected-leader" Warning,
    /// No executor in time.
    FailoverAbortNotElected = "-failover-abort-not-elected" Warning,
    /// Selecting a replica.
    FailoverStateSelectSlave = "+failover-state-select-slave" Warning,
    /// No replica can be promoted.
    FailoverAbortNoGoodSlave = "-failover-abort-no-good-slave" Warning,
    /// The chosen replica.
    SelectedSlave = "+selected-slave" Warning,
    /// About to promote.
    FailoverStateSendSlaveofNoone = "+failover-state-send-slaveof-noone" Notice,
    /// Promotion sent.
    FailoverStateWaitPromotion = "+failover-state-wait-promotion" Notice,
    /// Promotion not confirmed in time.
    FailoverAbortSlaveTimeout = "-failover-abort-slave-timeout" Warning,
    /// A coordinated failover could not be handed to the master in time.
    FailoverAbortMasterTimeout = "-failover-abort-master-timeout" Warning,
    /// Promotion confirmed.
    PromotedSlave = "+promoted-slave" Warning,
    /// Repointing the other replicas.
    FailoverStateReconfSlaves = "+failover-state-reconf-slaves" Warning,
    /// A replica was told to follow the new master.
    SlaveReconfSent = "+slave-reconf-sent" Notice,
    /// It names the new master.
    SlaveReconfInprog = "+slave-reconf-inprog" Notice,
    /// Its link to the new master is up.
    SlaveReconfDone = "+slave-reconf-done" Notice,
    /// It did not follow in time.
    SlaveReconfSentTimeout = "-slave-reconf-sent-timeout" Notice,
    /// Told once more at the end of the attempt.
    SlaveReconfSentBe = "+slave-reconf-sent-be" Notice,
    /// The attempt ended by its time limit.
    FailoverEndForTimeout = "+failover-end-for-timeout" Warning,
    /// The attempt ended.
    FailoverEnd = "+failover-end" Warning,
    /// A newer configuration came from that sentinel.
    ConfigUpdateFrom = "+config-update-from" Warning,
    /// The master's address changed.
    SwitchMaster = "+switch-master" Warning,
    /// An instance that calls itself master is made a replica.
    ConvertToSlave = "+convert-to-slave" Notice,
    /// A replica of the wrong master is repointed.
    FixSlaveConfig = "+fix-slave-config" Notice,
    /// Ours: the server at this address holds data that is not the group's.
    ForeignInstance = "+foreign-instance" Warning,
    /// Ours: a sentinel that is not of this group watches the same master.
    ForeignSentinel = "+foreign-sentinel" Warning,
    /// TILT mode begins.
    Tilt = "+tilt" Warning,
    /// TILT mode ends.
    TiltEnd = "-tilt" Warning,
    /// A script failed for good.
    ScriptError = "-script-error" Warning,
    /// A script ran too long.
    ScriptTimeout = "-script-timeout" Warning,
    /// A script was started.
    ScriptChild = "+script-child" Debug,
    /// A script ended.
    ScriptChildEnd = "-script-child" Debug,
    /// A command link could not be opened.
    CmdLinkReconnection = "-cmd-link-reconnection" Debug,
    /// A pub/sub link could not be opened.
    PubsubLinkReconnection = "-pubsub-link-reconnection" Debug,
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
