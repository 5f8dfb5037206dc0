//! One user: flags, passwords, selectors.

use sentinel_proto::command::CommandSpec;
use sentinel_proto::resp::split_words;

use super::rules::RuleError;
use super::selector::{Denied, Selector, push};

/// SHA-256 of a password.
pub type Digest = [u8; 32];

/// The hash function.
pub type Hash = fn(&[u8]) -> Digest;

/// What depends on the process and its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// SHA-256.
    pub hash: Hash,
    /// `acl-pubsub-default allchannels`: new users and selectors may use every channel.
    pub all_channels: bool,
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub(super) name: Vec<u8>,
    pub(super) enabled: bool,
    pub(super) nopass: bool,
    /// `sanitize-payload` or `skip-sanitize-payload`; `None` = neither was said. No effect in a sentinel.
    pub(super) sanitize: Option<bool>,
    pub(super) passwords: Vec<Digest>,
    pub(super) root: Selector,
    pub(super) selectors: Vec<Selector>,
    /// Tells it from a user of the same name that was deleted before.
    pub(super) incarnation: u64,
}

impl std::fmt::Debug for User {
    /// Hashes of passwords never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("enabled", &self.enabled)
            .field("root", &self.root)
            .field("selectors", &self.selectors)
            .finish_non_exhaustive()
    }
}

impl User {
    /// A user that may nothing, not even authenticate.
    #[must_use]
    pub fn new(name: &[u8], policy: &Policy) -> Self {
        Self {
            name: name.to_vec(),
            enabled: false,
            nopass: false,
            sanitize: None,
            passwords: Vec::new(),
            root: Selector::new(policy.all_channels),
            selectors: Vec::new(),
            incarnation: 0,
        }
    }

    /// `default`, who may everything without a password.
    #[must_use]
    pub fn default_user() -> Self {
        let mut root = Selector::new(true);
        root.starts_from_all = true;
        root.commands = super::commands::CommandSet::ALL;
        root.all_keys = true;
        Self {
            name: b"default".to_vec(),
            enabled: true,
            nopass: true,
            sanitize: None,
            passwords: Vec::new(),
            root,
            selectors: Vec::new(),
            incarnation: 0,
        }
    }

    /// Its name: any bytes but white space and NUL.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Can be authenticated as.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Takes any password.
    #[must_use]
    pub fn takes_any_password(&self) -> bool {
        self.nopass
    }

    /// A client that says nothing is this user: only for `default`.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.enabled && self.nopass
    }

    /// A client of the same name that was created later, after this one was deleted, is another user.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation && self.name == other.name
    }

    /// AUTH with this password succeeds.
    #[must_use]
    pub fn accepts(&self, password: &[u8], hash: Hash) -> bool {
        self.enabled && (self.nopass || self.has_password(hash(password)))
    }

    /// Enabled, and this is one of its passwords; a user without any proves nothing.
    #[must_use]
    pub fn is_proven_by(&self, password: &[u8], hash: Hash) -> bool {
        self.enabled && !self.nopass && self.has_password(hash(password))
    }

    /// Looks at every byte of every password, so that time tells nothing.
    fn has_password(&self, given: Digest) -> bool {
        let differs = |known: &Digest| known.iter().zip(given).fold(0u8, |acc, (a, b)| acc | (a ^ b));
        self.passwords
            .iter()
            .fold(false, |found, known| found | (differs(known) == 0))
    }

    /// Applies one rule; a selector is one rule (see [`super::merge`]). An empty one changes nothing.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn apply(&mut self, rule: &[u8], policy: &Policy) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            b"sanitize-payload" => self.sanitize = Some(true),
            b"skip-sanitize-payload" => self.sanitize = Some(false),
            b"clearselectors" => self.selectors.clear(),
            b"reset" => self.reset(policy),
            _ => {
                return match rule {
                    [b'>', password @ ..] => self.add_password((policy.hash)(password)),
                    [b'#', hash @ ..] => self.add_password(digest(hash)?),
                    [b'<', password @ ..] => self.remove_password((policy.hash)(password)),
                    [b'!', hash @ ..] => self.remove_password(digest(hash)?),
                    [b'(', inner @ .., b')'] => self.add_selector(inner, policy),
                    _ => self.root.apply(rule),
                };
            }
        }
        Ok(())
    }

    /// `reset`: as a new user, with `sanitize-payload`.
    pub(super) fn reset(&mut self, policy: &Policy) {
        self.enabled = false;
        self.nopass = false;
        self.passwords.clear();
        self.sanitize = Some(true);
        self.root = Selector::new(policy.all_channels);
        self.selectors.clear();
    }

    fn add_password(&mut self, password: Digest) -> Result<(), RuleError> {
        if !self.passwords.contains(&password) {
            push(&mut self.passwords, password)?;
        }
        self.nopass = false;
        Ok(())
    }

    fn remove_password(&mut self, password: Digest) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Quotes have a meaning inside a selector; unbalanced ones make it empty, as in Redis.
    fn add_selector(&mut self, inner: &[u8], policy: &Policy) -> Result<(), RuleError> {
        let mut selector = Selector::new(policy.all_channels);
        for rule in split_words(inner).unwrap_or_default() {
            selector.apply(&rule)?;
        }
        push(&mut self.selectors, selector)
    }

    fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Everything is allowed, whatever the request.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.root.is_unrestricted()
    }

    /// Whether the user may run this request; `words` as it was sent, `spec` as the table found it. Whether the user is
    /// enabled does not matter: that is asked when it authenticates.
    ///
    /// # Errors
    /// The most telling reason of all selectors: a channel rather than the command, a later channel rather than an
    /// earlier one.
    pub fn check<W: AsRef<[u8]>>(&self, spec: &CommandSpec, words: &[W]) -> Result<(), Denied> {
        let mut reason = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(spec, words) {
                Ok(()) => return Ok(()),
                Err(denied) => reason = reason.max(denied),
            }
        }
        Err(reason)
    }

    /// Whether a subscription may go on after the rules changed.
    #[must_use]
    pub fn may_listen(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors()
            .any(|selector| selector.allows_channel(channel, is_pattern))
    }
}

/// 64 lower-case hexadecimal digits.
fn digest(text: &[u8]) -> Result<Digest, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => Err(RuleError::BadHash),
    };
    let mut digest = Digest::default();
    if text.len() != digest.len().saturating_mul(2) {
        return Err(RuleError::BadHash);
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        if let [high, low] = pair {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
    }
    Ok(digest)
}
