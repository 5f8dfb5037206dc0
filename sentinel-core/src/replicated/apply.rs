//! Application of commands.

use super::change::Change;
use super::command::{Command, Outcome};
use super::state::State;

/// Applies one committed command. Total and deterministic; a refused command changes nothing but `last_applied`.
pub fn apply(state: &mut State, index: u64, command: &Command) -> (Outcome, Vec<Change>) {
    let _ = command;
    state.last_applied = index;
    (Outcome::Done, Vec::new())
}
