//! The payload of `__sentinel__:hello` (`sentinel.c: sentinelSendHello, sentinelProcessHelloMessage`).

use std::fmt;
use std::str::FromStr;

use crate::types::{HostPort, MasterName, SentinelId};

/// The channel on which stock sentinels find each other.
pub const HELLO_CHANNEL: &str = "__sentinel__:hello";

/// `ip,port,id,current-epoch,master-name,master-ip,master-port,config-epoch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Where the speaker accepts connections.
    pub address: HostPort,
    /// The speaker.
    pub id: SentinelId,
    /// The highest epoch that the speaker knows.
    pub current_epoch: u64,
    /// The group spoken about.
    pub master_name: MasterName,
    /// Its master's address.
    pub master: HostPort,
    /// The epoch of that address.
    pub config_epoch: u64,
}

/// The text is not a hello: not eight fields, or a malformed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a hello message of a sentinel")]
pub struct HelloError;

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{},{},{},{},{}",
            self.address.host,
            self.address.port,
            self.id,
            self.current_epoch,
            self.master_name,
            self.master.host,
            self.master.port,
            self.config_epoch
        )
    }
}

impl FromStr for Hello {
    type Err = HelloError;

    fn from_str(text: &str) -> Result<Self, HelloError> {
        let fields: Vec<&str> = text.splitn(9, ',').collect();
        let [ip, port, id, current, name, master_ip, master_port, config] = fields.as_slice() else {
            return Err(HelloError);
        };
        Ok(Self {
            address: address(ip, port)?,
            id: SentinelId::new(*id).map_err(|_| HelloError)?,
            current_epoch: current.parse().map_err(|_| HelloError)?,
            master_name: MasterName::new(*name).map_err(|_| HelloError)?,
            master: address(master_ip, master_port)?,
            config_epoch: config.parse().map_err(|_| HelloError)?,
        })
    }
}

fn address(host: &str, port: &str) -> Result<HostPort, HelloError> {
    if host.is_empty() {
        return Err(HelloError);
    }
    Ok(HostPort::new(host, port.parse().map_err(|_| HelloError)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "::1,26379,8c9ec52ac1a98be6e5a2eca98e9b880d2f39381d,3,mymaster,127.0.0.1,6380,2";

    #[test]
    fn a_hello_round_trips() {
        let hello: Hello = TEXT.parse().unwrap();
        assert_eq!(hello.address, HostPort::new("::1", 26379));
        assert_eq!(hello.master, HostPort::new("127.0.0.1", 6380));
        assert_eq!(hello.to_string(), TEXT);
    }

    #[test]
    fn other_texts_are_refused() {
        let more = format!("{TEXT},9");
        let id = TEXT.replace("8c9e", "zzzz");
        let port = TEXT.replace("26379", "262144");
        for text in ["", "a,b", more.as_str(), id.as_str(), port.as_str(), ",,,,,,,"] {
            assert!(text.parse::<Hello>().is_err(), "{text}");
        }
    }
}
