//! Says once why a server that is there cannot be watched: wrong credentials, no free client, no disk to save to.
//!
//! Sentinel shows such a server as down without a word. What is judged by it is decided in `sentinel_core::monitor`.

use sentinel_core::monitor::{LinkFailure, PingAnswer};

/// What a server complained of last, until it no longer does.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    said: Option<String>,
}

impl Complaint {
    /// A connection could not be used; the line to be logged, if that is news.
    pub(super) fn of_connect(&mut self, failure: LinkFailure, text: &str) -> Option<String> {
        let remedy = match failure {
            LinkFailure::Auth => {
                ". Check 'sentinel auth-user' and 'sentinel auth-pass': it is not watched, and not called down for this"
            }
            LinkFailure::Protocol => "",
            _ => return None,
        };
        let text = text.trim_end_matches('.');
        self.news(format!("refuses this sentinel: {text}{remedy}"))
    }

    /// PING was answered; the line to be logged, if that is news. A server that is busy or loads is waited for.
    pub(super) fn of_ping(&mut self, ping: &PingAnswer) -> Option<String> {
        let error = ping.as_ref().err().filter(|error| {
            let code = error.split([' ', ':']).next().unwrap_or_default();
            !matches!(code, "LOADING" | "BUSY" | "MASTERDOWN")
        });
        match error {
            None => {
                self.said = None;
                None
            }
            Some(error) => {
                let first = error.split(". ").next().unwrap_or_default();
                self.news(format!("answers PING with an error: {first}"))
            }
        }
    }

    fn news(&mut self, line: String) -> Option<String> {
        let is_news = self.said.as_ref() != Some(&line);
        self.said = Some(line.clone());
        is_news.then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_is_said_once_until_it_is_over() {
        let mut complaint = Complaint::default();
        let refused = complaint.of_connect(LinkFailure::Auth, "WRONGPASS");
        assert!(refused.is_some_and(|line| line.contains("WRONGPASS") && line.contains("auth-pass")));
        assert_eq!(complaint.of_connect(LinkFailure::Auth, "WRONGPASS"), None);
        assert!(
            complaint
                .of_connect(LinkFailure::Protocol, "max number of clients")
                .is_some()
        );
        let misconf = Err("MISCONF cannot save. Look at the log.".to_owned());
        let said = complaint.of_ping(&misconf);
        assert_eq!(
            said.as_deref(),
            Some("answers PING with an error: MISCONF cannot save")
        );
        assert_eq!(complaint.of_ping(&misconf), None);
        assert_eq!(complaint.of_ping(&Ok("PONG".to_owned())), None);
        assert!(complaint.of_ping(&misconf).is_some());
    }

    #[test]
    fn what_passes_by_itself_or_is_down_anyhow_is_not_complained_of() {
        let mut complaint = Complaint::default();
        for text in ["LOADING x", "BUSY x", "MASTERDOWN x"] {
            assert_eq!(complaint.of_ping(&Err(text.to_owned())), None);
        }
        for failure in [
            LinkFailure::Refused,
            LinkFailure::Closed,
            LinkFailure::ConnectTimeout,
        ] {
            assert_eq!(complaint.of_connect(failure, "x"), None);
        }
    }
}
