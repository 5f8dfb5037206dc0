//! `tls-protocols`, `tls-ciphers` and `tls-ciphersuites`: OpenSSL's language over what rustls has.
//!
//! rustls has TLS 1.2 and 1.3 with nine cipher suites, all of them strong. A list of OpenSSL is applied to these nine;
//! names that match none of them are told to the operator, since many lists name ciphers that nobody needs any more.

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, SupportedProtocolVersion};

/// A cipher suite of TLS 1.2: OpenSSL's name, and the words of OpenSSL's language that match it.
struct Cipher {
    suite: CipherSuite,
    name: &'static str,
    words: &'static [&'static str],
}

macro_rules! cipher {
    ($suite:ident, $name:literal, $($word:literal),*) => {
        Cipher { suite: CipherSuite::$suite, name: $name, words: &[$($word),*] }
    };
}

/// In the order in which rustls prefers them.
const TLS12_CIPHERS: [Cipher; 6] = [
    cipher!(
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "aECDSA",
        "ECDSA",
        "AES",
        "AES256",
        "AESGCM",
        "SHA384"
    ),
    cipher!(
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "aECDSA",
        "ECDSA",
        "AES",
        "AES128",
        "AESGCM",
        "SHA256"
    ),
    cipher!(
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "aECDSA",
        "ECDSA",
        "CHACHA20"
    ),
    cipher!(
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "aRSA",
        "RSA",
        "AES",
        "AES256",
        "AESGCM",
        "SHA384"
    ),
    cipher!(
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "aRSA",
        "RSA",
        "AES",
        "AES128",
        "AESGCM",
        "SHA256"
    ),
    cipher!(
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "aRSA",
        "RSA",
        "CHACHA20"
    ),
];

/// Words of OpenSSL's language that match all of them.
const EVERY: [&str; 9] = [
    "DEFAULT", "ALL", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "FIPS",
];
/// Words that rightly match none: usually behind a `!`.
const NONE: [&str; 44] = [
    "LOW",
    "MEDIUM",
    "EXP",
    "EXPORT",
    "NULL",
    "eNULL",
    "aNULL",
    "MD5",
    "SHA",
    "SHA1",
    "RC4",
    "RC2",
    "DES",
    "3DES",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "PSK",
    "kPSK",
    "aPSK",
    "kECDHEPSK",
    "kDHEPSK",
    "kRSAPSK",
    "SRP",
    "DSS",
    "aDSS",
    "DH",
    "DHE",
    "EDH",
    "kDHE",
    "kEDH",
    "ADH",
    "AECDH",
    "kRSA",
    "ECDH",
    "AESCCM",
    "AESCCM8",
    "COMPLEMENTOFDEFAULT",
];
const TLS13_SUITES: [(&str, CipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
];

/// Versions and cipher suites that are left, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    tls12: bool,
    tls13: bool,
    /// `None` = all of TLS 1.2.
    ciphers: Option<Vec<CipherSuite>>,
    /// `None` = all of TLS 1.3.
    suites: Option<Vec<CipherSuite>>,
}

impl Default for Choice {
    /// As in Redis: TLS 1.2 and 1.3.
    fn default() -> Self {
        Self {
            tls12: true,
            tls13: true,
            ciphers: None,
            suites: None,
        }
    }
}

impl Choice {
    /// The versions, for a rustls builder.
    #[must_use]
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [(self.tls13, &TLS13), (self.tls12, &TLS12)];
        all.into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, version)| version)
            .collect()
    }

    /// ring with the suites that are left.
    #[must_use]
    pub fn provider(&self) -> CryptoProvider {
        let mut provider = default_provider();
        let all = provider.cipher_suites.clone();
        let named = |wanted: &Option<Vec<CipherSuite>>, version: &SupportedProtocolVersion| match wanted {
            None => all
                .iter()
                .filter(|suite| suite.version() == version)
                .copied()
                .collect::<Vec<_>>(),
            Some(names) => names
                .iter()
                .filter_map(|name| all.iter().find(|suite| suite.suite() == *name).copied())
                .collect(),
        };
        provider.cipher_suites = named(&self.suites, &TLS13);
        provider.cipher_suites.extend(named(&self.ciphers, &TLS12));
        provider
    }
}

/// `tls-protocols`. `Ok(Some)`: what is left out.
pub(crate) fn set_protocols(choice: &mut Choice, value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        (choice.tls12, choice.tls13) = (true, true);
        return Ok(None);
    }
    let (mut tls12, mut tls13, mut old) = (false, false, Vec::new());
    for word in value.split_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1" | "tlsv1.1" => old.push(word),
            "tlsv1.2" => tls12 = true,
            "tlsv1.3" => tls13 = true,
            _ => {
                return Err(format!(
                    "Invalid tls-protocols specified ('{word}'). Use a combination of 'TLSv1.2' and 'TLSv1.3'."
                ));
            }
        }
    }
    if !tls12 && !tls13 {
        return Err(format!(
            "{} cannot be used: these versions are broken and not part of this program. Use 'TLSv1.2' and 'TLSv1.3'.",
            old.join(" and ")
        ));
    }
    (choice.tls12, choice.tls13) = (tls12, tls13);
    Ok((!old.is_empty()).then(|| {
        format!(
            "does not offer {}: these versions are broken and not part of this program",
            old.join(" and ")
        )
    }))
}

/// `tls-ciphersuites`: names of TLS 1.3 with colons between them.
pub(crate) fn set_suites(choice: &mut Choice, value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        choice.suites = None;
        return Ok(None);
    }
    let (mut suites, mut unknown) = (Vec::new(), Vec::new());
    for word in words(value) {
        match TLS13_SUITES.iter().find(|(name, _)| *name == word) {
            Some((_, suite)) if suites.contains(suite) => {}
            Some((_, suite)) => suites.push(*suite),
            None => unknown.push(word),
        }
    }
    if suites.is_empty() {
        let known = TLS13_SUITES.map(|(name, _)| name).join(":");
        return Err(format!(
            "none of these cipher suites is known here. Known are {known}"
        ));
    }
    choice.suites = Some(suites);
    Ok(left_out(&unknown))
}

/// `tls-ciphers`: OpenSSL's cipher list, for TLS 1.2.
pub(crate) fn set_ciphers(choice: &mut Choice, value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        choice.ciphers = None;
        return Ok(None);
    }
    let (mut list, mut killed): (Vec<&Cipher>, Vec<&Cipher>) = (Vec::new(), Vec::new());
    let mut unknown = Vec::new();
    for word in words(value) {
        // `@STRENGTH`: they are in that order anyway. `@SECLEVEL`: all of them have 112 bits and more.
        let word = word.split('@').next().unwrap_or_default();
        let (operator, term) = match word.chars().next() {
            Some(sign @ ('!' | '-' | '+')) => (sign, word.get(1..).unwrap_or_default()),
            _ => (' ', word),
        };
        if term.is_empty() {
            continue;
        }
        let matching: Vec<&Cipher> = TLS12_CIPHERS.iter().filter(|c| matches(c, term)).collect();
        if matching.is_empty() && operator == ' ' && !term.split('+').all(is_word) {
            unknown.push(term);
        }
        if operator == ' ' {
            let new = |cipher: &&Cipher| !has(&list, cipher) && !has(&killed, cipher);
            let added: Vec<&Cipher> = matching.into_iter().filter(new).collect();
            list.extend(added);
            continue;
        }
        let (hit, kept): (Vec<&Cipher>, Vec<&Cipher>) =
            list.into_iter().partition(|cipher| has(&matching, cipher));
        list = kept;
        match operator {
            '+' => list.extend(hit),
            '!' => killed.extend(matching),
            _ => {}
        }
    }
    if list.is_empty() {
        let known = TLS12_CIPHERS.map(|cipher| cipher.name).join(":");
        return Err(format!("leaves no cipher that is known here. Known are {known}"));
    }
    choice.ciphers = Some(list.iter().map(|cipher| cipher.suite).collect());
    Ok(left_out(&unknown))
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([':', ',', ' ', ';']).filter(|word| !word.is_empty())
}

fn has(list: &[&Cipher], cipher: &Cipher) -> bool {
    list.iter().any(|listed| listed.suite == cipher.suite)
}

/// A name, or words joined by `+`, all of which must match.
fn matches(cipher: &Cipher, term: &str) -> bool {
    cipher.name == term
        || term
            .split('+')
            .all(|word| EVERY.contains(&word) || cipher.words.contains(&word))
}

/// A word of the language, even if it matches nothing here.
fn is_word(word: &str) -> bool {
    EVERY.contains(&word) || NONE.contains(&word) || TLS12_CIPHERS.iter().any(|c| c.words.contains(&word))
}

fn left_out(unknown: &[&str]) -> Option<String> {
    (!unknown.is_empty()).then(|| format!("leaves out what is not known here: {}", unknown.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let mut choice = Choice::default();
        set_ciphers(&mut choice, list).unwrap();
        let suites = choice.ciphers.unwrap();
        suites
            .iter()
            .map(|suite| TLS12_CIPHERS.iter().find(|c| c.suite == *suite).unwrap().name)
            .collect()
    }

    #[test]
    fn lists_of_openssl_choose_and_order() {
        assert_eq!(names("DEFAULT:!MEDIUM").len(), 6, "the example of the stock file");
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            names("HIGH:!aNULL:!MD5:!aECDSA:!CHACHA20@STRENGTH"),
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(names("ECDHE+CHACHA20").len(), 2);
        assert_eq!(names("!AESGCM:ALL").len(), 2, "killed ciphers do not come back");
        assert_eq!(names("ALL:-AESGCM:ALL").len(), 6, "removed ones may");
        let moved = names("aRSA:+AES256");
        assert_eq!(moved.last(), Some(&"ECDHE-RSA-AES256-GCM-SHA384"));
    }

    #[test]
    fn unknown_names_are_told_and_nothing_left_is_an_error() {
        let mut choice = Choice::default();
        let told = set_ciphers(
            &mut choice,
            "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-SHA:bogus",
        )
        .unwrap();
        assert_eq!(
            told.unwrap(),
            "leaves out what is not known here: DHE-RSA-AES128-SHA bogus"
        );
        let error = set_ciphers(&mut choice, "AES128-SHA").unwrap_err();
        assert!(error.contains("ECDHE-RSA-AES128-GCM-SHA256"), "{error}");
        let told = set_suites(&mut choice, "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256").unwrap();
        assert!(told.unwrap().ends_with("TLS_AES_128_CCM_SHA256"));
        assert!(set_suites(&mut choice, "x").is_err());
        let suites = choice.provider().cipher_suites;
        assert_eq!(suites.len(), 2, "one of TLS 1.3 and one of TLS 1.2: {suites:?}");
    }

    #[test]
    fn old_versions_are_left_out_or_refused() {
        let mut choice = Choice::default();
        assert_eq!(set_protocols(&mut choice, "TLSv1.2 TLSv1.3"), Ok(None));
        assert!(
            set_protocols(&mut choice, "tlsv1 TLSv1.1 TLSv1.2")
                .unwrap()
                .is_some()
        );
        assert_eq!(choice.versions(), [&TLS12]);
        let error = set_protocols(&mut choice, "TLSv1").unwrap_err();
        assert!(error.contains("Use 'TLSv1.2'"), "{error}");
        assert!(set_protocols(&mut choice, "SSLv3").unwrap_err().contains("SSLv3"));
    }

    #[test]
    fn every_suite_exists_in_rustls() {
        let all = Choice::default().provider().cipher_suites;
        assert_eq!(all.len(), TLS12_CIPHERS.len() + TLS13_SUITES.len());
        for suite in &all {
            let known = TLS12_CIPHERS.iter().any(|c| c.suite == suite.suite())
                || TLS13_SUITES.iter().any(|(_, s)| *s == suite.suite());
            assert!(known, "{suite:?}");
        }
    }
}
