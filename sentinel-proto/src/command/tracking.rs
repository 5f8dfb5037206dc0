//! CLIENT TRACKING: its options, and what a connection remembers of them.
//!
//! A sentinel has no keys, so nothing is ever invalidated; but clients may switch tracking on as a matter of course, and
//! what they set is checked and shown as Redis does (networking.c `clientCommand`, tracking.c `enableTracking`).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::client::{ClientRequest, Parsed, request};
use super::rest;
use crate::reply::ErrorReply;
use crate::resp::{Frame, parse_integer};

/// Prefixes that one connection may register; Redis has no limit.
const MAX_PREFIXES: usize = 1024;

/// CLIENT TRACKING.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackingRequest {
    /// ON.
    pub on: bool,
    /// REDIRECT: the number of a client, which must exist; `None` = not given.
    pub redirect: Option<i64>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
    prefixes: Vec<Bytes>,
    /// Said after it is known whether the client of REDIRECT exists.
    refusal: Option<ErrorReply>,
}

pub(super) fn parse(words: &[Bytes]) -> Parsed {
    let mut tracking = TrackingRequest::default();
    if let Err(error) = options(rest(words, 3), &mut tracking) {
        tracking.refusal = Some(error);
    } else {
        let word = words.get(2).map_or(&b""[..], |word| word);
        tracking.on = word.eq_ignore_ascii_case(b"on");
        if !tracking.on && !word.eq_ignore_ascii_case(b"off") {
            tracking.refusal = Some(ErrorReply::syntax());
        }
    }
    match (&tracking.refusal, tracking.redirect) {
        (Some(error), None) => Err(error.clone()),
        _ => request(ClientRequest::Tracking(tracking)),
    }
}

fn options(mut words: &[Bytes], tracking: &mut TrackingRequest) -> Result<(), ErrorReply> {
    while let [option, more @ ..] = words {
        words = match (option.to_ascii_lowercase().as_slice(), more) {
            (b"redirect", [id, more @ ..]) => {
                if tracking.redirect.is_some() {
                    return Err(ErrorReply::err(
                        "A client can only redirect to a single other client",
                    ));
                }
                tracking.redirect = Some(parse_integer(id).ok_or_else(ErrorReply::not_an_integer)?);
                more
            }
            (b"prefix", [prefix, more @ ..]) => {
                tracking.prefixes.push(prefix.clone());
                more
            }
            (b"bcast", more) => {
                tracking.bcast = true;
                more
            }
            (b"optin", more) => {
                tracking.optin = true;
                more
            }
            (b"optout", more) => {
                tracking.optout = true;
                more
            }
            (b"noloop", more) => {
                tracking.noloop = true;
                more
            }
            _ => return Err(ErrorReply::syntax()),
        };
    }
    Ok(())
}

/// What a connection has switched on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracking {
    on: bool,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
    caching: bool,
    redirect: u64,
    prefixes: BTreeSet<Bytes>,
}

impl Tracking {
    /// CLIENT TRACKING; that the client of REDIRECT exists was checked before.
    ///
    /// # Errors
    /// The reply to send instead; nothing is changed then.
    pub fn change(&mut self, request: &TrackingRequest) -> Result<(), ErrorReply> {
        if let Some(error) = &request.refusal {
            return Err(error.clone());
        }
        if !request.on {
            *self = Self::default();
            return Ok(());
        }
        self.check(request)?;
        let mut prefixes = std::mem::take(&mut self.prefixes);
        prefixes.extend(
            request
                .prefixes
                .iter()
                .map(|prefix| Bytes::copy_from_slice(prefix)),
        );
        if request.bcast && request.prefixes.is_empty() {
            prefixes.insert(Bytes::new());
        }
        *self = Self {
            on: true,
            bcast: request.bcast,
            optin: request.optin,
            optout: request.optout,
            noloop: request.noloop,
            caching: self.caching,
            redirect: request
                .redirect
                .and_then(|id| u64::try_from(id).ok())
                .unwrap_or(0),
            prefixes,
        };
        Ok(())
    }

    fn check(&self, request: &TrackingRequest) -> Result<(), ErrorReply> {
        let switch = |modes: &str| {
            ErrorReply::err(format!(
                "You can't switch {modes} before disabling tracking for this client, and then re-enabling it with a \
                 different mode."
            ))
        };
        if !request.bcast && !request.prefixes.is_empty() {
            return Err(ErrorReply::err("PREFIX option requires BCAST mode to be enabled"));
        }
        if self.on && self.bcast != request.bcast {
            return Err(switch("BCAST mode on/off"));
        }
        if request.bcast && (request.optin || request.optout) {
            return Err(ErrorReply::err("OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if request.optin && request.optout {
            return Err(ErrorReply::err(
                "You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        if (request.optin && self.optout) || (request.optout && self.optin) {
            return Err(switch("OPTIN/OPTOUT mode"));
        }
        self.check_prefixes(&request.prefixes)
    }

    fn check_prefixes(&self, given: &[Bytes]) -> Result<(), ErrorReply> {
        if self.prefixes.len().saturating_add(given.len()) > MAX_PREFIXES {
            return Err(ErrorReply::err("too many prefixes for one connection"));
        }
        let overlaps = |a: &Bytes, b: &Bytes| a.starts_with(b) || b.starts_with(a);
        let refusal = |prefix: &Bytes, kind: &str, other: &Bytes| {
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            ErrorReply::err(format!(
                "Prefix '{}' overlaps with {kind} prefix '{}'. Prefixes for a single client must not overlap.",
                text(prefix),
                text(other)
            ))
        };
        for (at, prefix) in given.iter().enumerate() {
            if let Some(other) = self.prefixes.iter().find(|other| overlaps(prefix, other)) {
                return Err(refusal(prefix, "an existing", other));
            }
            let later = given.iter().skip(at.saturating_add(1));
            if let Some(other) = later.into_iter().find(|other| overlaps(prefix, other)) {
                return Err(refusal(prefix, "another provided", other));
            }
        }
        Ok(())
    }

    /// CLIENT CACHING: `None` = neither YES nor NO.
    ///
    /// # Errors
    /// The reply to send instead.
    pub fn set_caching(&mut self, yes: Option<bool>) -> Result<(), ErrorReply> {
        if !self.on {
            return Err(ErrorReply::client_caching());
        }
        let (allowed, text) = match yes {
            None => return Err(ErrorReply::syntax()),
            Some(true) => (
                self.optin,
                "YES is only valid when tracking is enabled in OPTIN mode.",
            ),
            Some(false) => (
                self.optout,
                "NO is only valid when tracking is enabled in OPTOUT mode.",
            ),
        };
        if !allowed {
            return Err(ErrorReply::err(format!("CLIENT CACHING {text}")));
        }
        self.caching = true;
        Ok(())
    }

    /// CACHING holds for the next command only.
    pub fn command_was_run(&mut self) {
        self.caching = false;
    }

    /// The `t` among the flags of CLIENT LIST.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// The `B` among the flags of CLIENT LIST.
    #[must_use]
    pub fn is_broadcasting(&self) -> bool {
        self.bcast
    }

    /// CLIENT GETREDIR: `None` = tracking is off (-1), 0 = no redirection.
    #[must_use]
    pub fn redirect(&self) -> Option<u64> {
        self.on.then_some(self.redirect)
    }

    /// The reply to CLIENT GETREDIR.
    #[must_use]
    pub fn redirect_reply(&self) -> Frame {
        let id = self.redirect().and_then(|id| i64::try_from(id).ok());
        Frame::Integer(id.unwrap_or(-1))
    }

    /// The reply to CLIENT TRACKINGINFO.
    #[must_use]
    pub fn info(&self) -> Frame {
        let flags = [
            (!self.on, "off"),
            (self.on, "on"),
            (self.bcast, "bcast"),
            (self.optin, "optin"),
            (self.optin && self.caching, "caching-yes"),
            (self.optout, "optout"),
            (self.optout && self.caching, "caching-no"),
            (self.noloop, "noloop"),
        ];
        let flags = flags.iter().filter(|(set, _)| *set);
        let flags = flags.map(|(_, name)| Frame::bulk_static(name));
        let prefixes = self.prefixes.iter().cloned().map(Frame::Bulk);
        Frame::Map(vec![
            ("flags".into(), Frame::Set(flags.collect())),
            ("redirect".into(), self.redirect_reply()),
            ("prefixes".into(), Frame::Array(prefixes.collect())),
        ])
    }
}
