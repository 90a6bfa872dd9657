//! A broker's address in the settings.

/// A broker's address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokerUrl {
    /// Whether to encrypt.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl BrokerUrl {
    /// Reads `mqtt://host[:port]` or `mqtts://host[:port]`; the ports are 1883 and 8883 if not given.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (tls, rest) = if let Some(rest) = url.strip_prefix("mqtt://") {
            (false, rest)
        } else if let Some(rest) = url.strip_prefix("mqtts://") {
            (true, rest)
        } else {
            return Err("must begin with mqtt:// or mqtts://, such as mqtt://localhost:1883".into());
        };
        if rest.contains('@') {
            return Err("user and password belong in mqtt_username and mqtt_password_file".into());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // An IPv6 address stands in brackets, for it has colons of its own.
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() || host.contains(['/', '?', '#']) {
            return Err(format!("{url:?} has no host; use mqtt://host:port"));
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("{port:?} is no port; use 1 to 65535"))?,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brokers_address_is_read() {
        let parse = |url| BrokerUrl::parse(url).unwrap();
        let broker = |tls, host: &str, port| BrokerUrl { tls, host: host.into(), port };
        assert_eq!(parse("mqtt://nas"), broker(false, "nas", 1883));
        assert_eq!(parse("mqtts://nas/"), broker(true, "nas", 8883));
        assert_eq!(parse("mqtt://nas.local:2000"), broker(false, "nas.local", 2000));
        assert_eq!(parse("mqtt://[::1]:2000"), broker(false, "::1", 2000));
        assert_eq!(parse("mqtt://[::1]"), broker(false, "::1", 1883));
        for bad in ["mqtt://", "mqtt://:1", "mqtt://x:0", "mqtt://x:y", "nas", "mqtt://x/y"] {
            assert!(BrokerUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
