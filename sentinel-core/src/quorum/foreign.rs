//! Sentinels that are not of this group and watch the same master.
//!
//! They are never believed: no hello changes anything here. But they may fail the master over by themselves, so each is
//! warned of once (and again by whoever leads later). Ours publish no hellos, so every hello is foreign, also one with the
//! `myid` of a member: that is a classic sentinel that was left running when its file was taken over.

use sentinel_proto::event::{Event, InstanceRef};
use sentinel_proto::hello::Hello;
use sentinel_proto::types::MasterName;

use super::core::QuorumCore;
use super::types::{GroupSoft, QuorumEffect};

/// Foreign sentinels warned of per group.
const MAX_WARNINGS: usize = 64;

impl QuorumCore {
    /// A hello about this group.
    pub(super) fn heard(&mut self, name: &MasterName, hello: &Hello, effects: &mut Vec<QuorumEffect>) {
        let group = self.state.groups.get(name);
        let Some((group, soft)) = group.zip(self.groups.get_mut(name)) else {
            return;
        };
        // The text of an event is split at spaces.
        let clean = hello.address.host.bytes().all(|b| b.is_ascii_graphic());
        if clean && soft.foreign.len() < MAX_WARNINGS && soft.foreign.insert(hello.id.clone()) {
            let sentinel = InstanceRef::sentinel(&hello.id, &hello.address, name, &group.address);
            effects.push(QuorumEffect::Event(Event::foreign_sentinel(&sentinel)));
        }
    }
}

/// Only the node that leads the group listens: one connection to each master.
pub(super) fn listen(name: &MasterName, soft: &mut GroupSoft, leads: bool, effects: &mut Vec<QuorumEffect>) {
    if soft.listening != leads {
        soft.listening = leads;
        effects.push(QuorumEffect::Listen(name.clone(), leads));
    }
}
