//! Bringing the addresses that the instance reports into the spelling of the log.

use std::sync::Arc;

use sentinel_proto::info::ReportedRole;
use sentinel_proto::types::HostPort;

use super::core::MonitorCore;
use super::types::MonitorEffect;
use crate::names::{Names, Spelling};

impl MonitorCore {
    /// What names resolve to changed: what was reported may be another address of the group now.
    pub(super) fn take_names(&mut self, names: Arc<Names>, effects: &mut Vec<MonitorEffect>) {
        self.names = names;
        let follows = self.followed_raw.clone().and_then(|raw| self.spelled(&raw));
        if let Some(report) = &mut self.facts.report {
            report.follows = follows;
        }
        let listed = std::mem::take(&mut self.listed_raw);
        self.list(listed, effects);
    }

    /// The names in use, to notice that there are newer ones.
    #[must_use]
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The master that the instance follows, as it says it.
    #[must_use]
    pub fn followed_raw(&self) -> Option<&HostPort> {
        self.followed_raw.as_ref()
    }

    /// The master that is followed; `None` for a master, and while its name has not been looked up.
    pub(super) fn followed(&mut self, follows: Option<HostPort>) -> Option<HostPort> {
        self.followed_raw = follows;
        let raw = self.followed_raw.clone()?;
        self.report_host(&raw);
        self.spelled(&raw)
    }

    fn spelled(&self, address: &HostPort) -> Option<HostPort> {
        match self.names.spelling(address, &*self.assignment.group) {
            Spelling::Known(known) => Some(known.clone()),
            Spelling::New => Some(address.clone()),
            Spelling::Undecided => None,
        }
    }

    /// A name that is not one of the log's has to be looked up for its own sake.
    fn report_host(&mut self, address: &HostPort) {
        if address.ip().is_none() && !self.assignment.group.contains(address) {
            self.reported_hosts.insert(address.host.clone());
        }
    }

    /// The replicas that a master lists. One whose name does not resolve (yet) is left out: it might be one that is
    /// known already.
    pub(super) fn list(&mut self, mut replicas: Vec<HostPort>, effects: &mut Vec<MonitorEffect>) {
        replicas.sort();
        replicas.dedup();
        if self.assignment.role != ReportedRole::Master {
            return;
        }
        replicas.iter().for_each(|replica| self.report_host(replica));
        let mut listed: Vec<HostPort> = Vec::with_capacity(replicas.len());
        for replica in &replicas {
            let Some(spelled) = self.spelled(replica) else {
                continue;
            };
            let is_known = self.assignment.group.contains(&spelled);
            let resolves = || self.names.ips(&spelled.host).is_some_and(|ips| !ips.is_empty());
            let again = listed
                .iter()
                .any(|other| self.names.same(other, &spelled) == Some(true));
            if !again && (is_known || resolves()) {
                listed.push(spelled);
            }
        }
        listed.sort();
        self.listed_raw = replicas;
        if !listed.is_empty() && listed != self.listed {
            self.listed.clone_from(&listed);
            effects.push(MonitorEffect::ReplicasListed(listed));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sentinel_proto::info::InstanceReport;
    use sentinel_proto::types::MasterName;

    use super::super::types::{Assignment, MonitorInput};
    use super::*;
    use crate::time::MonoTime;

    const NOW: MonoTime = MonoTime(1_000_000);

    fn at(text: &str) -> HostPort {
        text.parse().unwrap()
    }

    fn monitor(own: &str, role: ReportedRole, spellings: &[&str]) -> MonitorCore {
        let assignment = Assignment {
            master: MasterName::new("m").unwrap(),
            master_address: at(spellings[0]),
            group: Arc::new(spellings.iter().map(|text| at(text)).collect::<BTreeSet<_>>()),
            role,
            config_epoch: 0,
            down_after_ms: 1_000,
            crash_down_after_ms: 0,
            reboot_down_after_ms: 0,
            lineage: Arc::default(),
            attention: false,
        };
        MonitorCore::new(at(own), assignment, NOW)
    }

    fn names(entries: &[(&str, &[&str])]) -> MonitorInput {
        let mut names = Names::default();
        for (host, ips) in entries {
            let ips: Vec<_> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
            names.note(host, &ips);
        }
        MonitorInput::Names(Arc::new(names))
    }

    fn step(core: &mut MonitorCore, input: MonitorInput) -> Vec<MonitorEffect> {
        let mut effects = Vec::new();
        core.step(NOW, input, &mut effects);
        effects
    }

    fn follows(core: &MonitorCore) -> Option<String> {
        let report = core.facts().report.as_ref()?;
        report.follows.as_ref().map(ToString::to_string)
    }

    #[test]
    fn a_replica_that_names_its_master_otherwise_follows_it_nevertheless() {
        let mut core = monitor("10.0.0.2:1", ReportedRole::Replica, &["10.0.0.1:1", "10.0.0.2:1"]);
        let info = InstanceReport::parse(
            "role:slave\r\nmaster_host:db1\r\nmaster_port:1\r\nmaster_link_status:up\r\n",
        );
        let effects = step(&mut core, MonitorInput::Info(Box::new(info)));
        assert!(
            effects.contains(&MonitorEffect::LookUp("db1".to_owned())),
            "{effects:?}"
        );
        assert_eq!(follows(&core), None, "nothing is said before the lookup");
        let effects = step(&mut core, names(&[("db1", &["10.0.0.1"])]));
        assert!(effects.contains(&MonitorEffect::Changed));
        assert_eq!(follows(&core).as_deref(), Some("10.0.0.1:1"));
        step(&mut core, names(&[("db1", &["10.0.0.9"])]));
        assert_eq!(follows(&core).as_deref(), Some("db1:1"), "another master");
        assert_eq!(core.followed_raw(), Some(&at("db1:1")));
    }

    #[test]
    fn the_committed_name_needs_no_lookup() {
        let mut core = monitor("db2:1", ReportedRole::Replica, &["db1:1", "db2:1"]);
        let info = InstanceReport::parse("role:slave\nmaster_host:db1\nmaster_port:1\n");
        let effects = step(&mut core, MonitorInput::Info(Box::new(info)));
        assert!(
            !effects.iter().any(|e| matches!(e, MonitorEffect::LookUp(_))),
            "{effects:?}"
        );
        assert_eq!(follows(&core).as_deref(), Some("db1:1"));
    }

    #[test]
    fn a_known_replica_is_listed_once_in_the_spelling_of_the_log() {
        let mut core = monitor("db1:1", ReportedRole::Master, &["db1:1", "db2:1"]);
        let text =
            "role:master\nslave0:ip=10.0.0.2,port=1\nslave1:ip=10.0.0.3,port=1\nslave2:ip=db4,port=1\n";
        let effects = step(
            &mut core,
            MonitorInput::Info(Box::new(InstanceReport::parse(text))),
        );
        let listed = |effects: &[MonitorEffect]| {
            effects.iter().find_map(|effect| match effect {
                MonitorEffect::ReplicasListed(listed) => Some(format!("{listed:?}")),
                _ => None,
            })
        };
        assert_eq!(listed(&effects), None, "db1, db2 and db4 were not looked up yet");
        let known: &[(&str, &[&str])] = &[("db1", &["10.0.0.1"]), ("db2", &["10.0.0.2"])];
        let effects = step(&mut core, names(known));
        assert_eq!(listed(&effects).as_deref(), Some("[10.0.0.3:1, db2:1]"));
        // A name that never resolved is text; one that a replica announces has to resolve.
        let known: &[(&str, &[&str])] = &[("db1", &["10.0.0.1"]), ("db2", &[]), ("db4", &[])];
        let effects = step(&mut core, names(known));
        assert_eq!(listed(&effects).as_deref(), Some("[10.0.0.2:1, 10.0.0.3:1]"));
        let known: &[(&str, &[&str])] = &[
            ("db1", &["10.0.0.1"]),
            ("db2", &["10.0.0.2"]),
            ("db4", &["10.0.0.4"]),
        ];
        let effects = step(&mut core, names(known));
        assert_eq!(listed(&effects).as_deref(), Some("[10.0.0.3:1, db2:1, db4:1]"));
    }
}
