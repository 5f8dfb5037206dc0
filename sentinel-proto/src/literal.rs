//! Literal IP addresses as `getaddrinfo(3)` reads them with `AI_NUMERICHOST`, which is what Sentinel asks.

use std::net::{IpAddr, Ipv4Addr};

/// The address that a text spells, v4-mapped IPv6 as IPv4; `None` = it is a name. Takes the numbers-and-dots notations of
/// `inet_aton(3)`, too: `127.1`, `0x7f000001`.
#[must_use]
pub fn literal_ip(text: &str) -> Option<IpAddr> {
    let parsed = text.parse::<IpAddr>().ok();
    parsed
        .or_else(|| numbers_and_dots(text))
        .map(|ip| ip.to_canonical())
}

/// One to four numbers; the last one fills the bytes that are left.
fn numbers_and_dots(text: &str) -> Option<IpAddr> {
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, bytes) = parts.split_last()?;
    let left = 4u32.checked_sub(u32::try_from(bytes.len()).ok()?)?;
    let span = 256u64.checked_pow(left).filter(|span| u64::from(*last) < *span)?;
    let front = bytes.iter().try_fold(0u64, |front, byte| {
        let byte = u8::try_from(*byte).ok()?;
        front.checked_mul(256)?.checked_add(u64::from(byte))
    })?;
    let whole = front.checked_mul(span)?.checked_add(u64::from(*last))?;
    u32::try_from(whole)
        .ok()
        .map(|whole| Ipv4Addr::from(whole).into())
}

/// Decimal, `0` octal, `0x` hexadecimal.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    // A sign is no digit.
    let clean = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    clean.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dots_are_addresses() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("127.0.0.01", Some("127.0.0.1")),
            ("127.0.513", Some("127.0.2.1")),
            ("1", Some("0.0.0.1")),
            ("0x7f000001", Some("127.0.0.1")),
            ("0x7F.010.0.0xa", Some("127.8.0.10")),
            ("4294967295", Some("255.255.255.255")),
            ("::1", Some("::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("4294967296", None),
            ("127.0.65536", None),
            ("256.1.1.1", None),
            ("1.2.3.4.5", None),
            ("127.0.0.08", None),
            ("1.2.3.", None),
            ("+1", None),
            ("", None),
            ("0x", None),
            ("::1%lo", None),
            ("a.b", None),
        ] {
            let expected: Option<IpAddr> = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(literal_ip(text), expected, "{text:?}");
        }
    }
}
