//! How to reach the running Frigate, and where its topics are.

use crate::link::{self, Fingerprint, Trust};
use crate::wire::topics::FrigateTopics;

use super::SettingsError;
use super::gather::Gathered;

impl Gathered {
    /// The way to the running Frigate; `None` without an address, or if it is turned off.
    pub(super) fn frigate(&mut self) -> Result<Option<link::Options>, SettingsError> {
        let is_on = self.one_of("frigate_link", &[("auto", true), ("off", false)])?;
        let Some((url, _)) = self.get("frigate_url").filter(|_| is_on) else {
            return Ok(None);
        };
        let url = link::parse_url(url).map_err(|problem| self.wrong("frigate_url", problem))?;
        let password = match self.secret_file("frigate_password_file")? {
            Some(password) => Some(password),
            None => self.get("frigate_password").map(|(password, _)| password.to_owned()),
        };
        let login = match (self.get("frigate_user"), password) {
            (Some((user, _)), Some(password)) => Some((user.to_owned(), password)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(self.wrong("frigate_user", "missing beside a password"));
            }
            (Some(_), None) => {
                return Err(self.wrong("frigate_password_file", "missing beside frigate_user"));
            }
        };
        Ok(Some(link::Options { url, login, trust: self.trust()? }))
    }

    fn trust(&self) -> Result<Trust, SettingsError> {
        if let Some((text, _)) = self.get("frigate_fingerprint") {
            return match Fingerprint::parse(text) {
                Some(fingerprint) => Ok(Trust::Fingerprint(fingerprint)),
                None => Err(self.wrong(
                    "frigate_fingerprint",
                    format!(
                        "{text:?} is no SHA-256 fingerprint; it has 64 hexadecimal digits, as \
                         `openssl x509 -noout -fingerprint -sha256` prints them"
                    ),
                )),
            };
        }
        Ok(self.file("frigate_ca_file")?.map_or(Trust::System, Trust::Authorities))
    }

    /// Where Frigate's own topics begin; `None` if nothing is to be cleared there.
    pub(super) fn frigate_topics(&mut self) -> Result<Option<FrigateTopics>, SettingsError> {
        let is_on = self.one_of("clear_frigate_topics", &[("on", true), ("off", false)])?;
        let prefix = self.text("frigate_topic_prefix", "frigate");
        let topics = FrigateTopics::new(&prefix)
            .map_err(|error| self.wrong("frigate_topic_prefix", error))?;
        Ok(is_on.then_some(topics))
    }
}
