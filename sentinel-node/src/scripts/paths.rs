//! Which script of a master may be run here. Pure.

use std::collections::BTreeMap;

use sentinel_core::replicated::State;
use sentinel_proto::MasterName;

use crate::config::Config;

/// One of a master's two scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptKind {
    /// `notification-script`.
    Notification,
    /// `client-reconfig-script`.
    ClientReconfig,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OwnPaths {
    notification: Option<String>,
    client_reconfig: Option<String>,
}

/// Where script paths are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPaths {
    own: BTreeMap<MasterName, OwnPaths>,
    /// `sentinel deny-scripts-reconfig no`: the replicated ones are taken.
    replicated: bool,
}

impl Default for ScriptPaths {
    /// No file: whatever is replicated is shown.
    fn default() -> Self {
        Self {
            own: BTreeMap::new(),
            replicated: true,
        }
    }
}

impl ScriptPaths {
    /// What the file names, and what it allows.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let own = config.masters.iter().map(|master| {
            let paths = OwnPaths {
                notification: master.options.notification_script.clone(),
                client_reconfig: master.options.client_reconfig_script.clone(),
            };
            (master.name.clone(), paths)
        });
        Self {
            own: own.collect(),
            replicated: !config.sentinel.deny_scripts_reconfig,
        }
    }

    /// The path in force; `None` = no such script. A master that is not in the state any more (its `-monitor` is being
    /// published) has what the file names.
    #[must_use]
    pub fn path(&self, kind: ScriptKind, master: &MasterName, state: &State) -> Option<String> {
        let group = state.groups.get(master).filter(|_| self.replicated);
        let path = match (group, kind) {
            (Some(group), ScriptKind::Notification) => &group.options.notification_script,
            (Some(group), ScriptKind::ClientReconfig) => &group.options.client_reconfig_script,
            (None, ScriptKind::Notification) => &self.own.get(master)?.notification,
            (None, ScriptKind::ClientReconfig) => &self.own.get(master)?.client_reconfig,
        };
        path.clone()
    }
}
