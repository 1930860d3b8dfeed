//! Addresses with names: a client learns of each node the address under the name of the listener that it came by.
//!
//! ```text
//!   "INTERNAL://0.0.0.0:9092,EXTERNAL://[::1]:0"  ─>  INTERNAL 0.0.0.0 9092, EXTERNAL ::1 0
//!   "localhost:9092"                              ─>  PLAINTEXT localhost 9092
//! ```
//! The form is Kafka's. A name says nothing of a protocol, and no listener encrypts; so the names that Kafka gives to
//! encrypted ones are refused. This file resolves no host and binds no socket.

use super::error::ConfigError;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The name of a listener that is given none.
pub const PLAINTEXT: &str = "PLAINTEXT";
/// Kafka's names for listeners with encryption or passwords.
const PROTOCOLS: [&str; 3] = ["SSL", "SASL_PLAINTEXT", "SASL_SSL"];
/// Listeners of a node at most.
const MOST: usize = 16;
const NAME_MOST: usize = 64;

/// The address of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAddress {
    pub name: String,
    /// A name or an address; an IPv6 address stands without brackets.
    pub host: String,
    pub port: u16,
}

impl NamedAddress {
    /// Host and port as they are written, with brackets round an IPv6 address.
    #[must_use]
    pub fn host_port(&self) -> String {
        host_port(&self.host, self.port)
    }

    /// Whether the host stands for all addresses of the machine.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        ip(&self.host).is_some_and(|ip| ip.is_unspecified())
    }
}

impl fmt::Display for NamedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.host_port())
    }
}

/// Host and port as they are written.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn ip(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// Reads the addresses of a field: at least one, no name twice.
pub(super) fn read(field: &'static str, text: &str) -> Result<Vec<NamedAddress>, ConfigError> {
    let refuse = |why: String| Err(ConfigError::value(field, text, why));
    let mut out: Vec<NamedAddress> = Vec::new();
    for part in text.split(',') {
        let address = match one(part.trim()) {
            Ok(address) => address,
            Err(why) => return refuse(format!("{why}; --{field} HOST:PORT, or NAME://HOST:PORT,…")),
        };
        if out.iter().any(|other| other.name == address.name) {
            return refuse(format!("two listeners are named {}: give each another name", address.name));
        }
        out.push(address);
    }
    match out.len() {
        ..=MOST => Ok(out),
        many => refuse(format!("it takes at most {MOST} listeners, not {many}")),
    }
}

fn one(text: &str) -> Result<NamedAddress, String> {
    let (name, address) = text.split_once("://").unwrap_or((PLAINTEXT, text));
    check_name(name)?;
    let none = || "it takes HOST:PORT".to_owned();
    let (host, port) = address.rsplit_once(':').ok_or_else(none)?;
    let port = port.parse().map_err(|_| none())?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| is_v6(host)).ok_or_else(none)?,
        None if host.contains(':') && !is_v6(host) => {
            return Err("an IPv6 address stands in brackets, as in [::1]:9092".to_owned());
        }
        None => host,
    };
    if host.is_empty() || host.contains(['/', '[', ']', ' ']) {
        return Err(none());
    }
    Ok(NamedAddress { name: name.to_owned(), host: host.to_owned(), port })
}

/// An IPv6 address may name the interface behind it, as in `fe80::1%eth0`.
fn is_v6(host: &str) -> bool {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn check_name(name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > NAME_MOST || !name.chars().all(known) {
        return Err(format!(
            "the name of a listener takes 1 to {NAME_MOST} upper-case letters, digits and _, unlike \"{name}\""
        ));
    }
    if PROTOCOLS.contains(&name) {
        return Err(format!(
            "a listener named {name} would promise encryption or passwords, which this build does not have: choose \
             another name"
        ));
    }
    Ok(())
}

/// Refuses listeners that cannot be bound side by side, and advertised addresses that reach none of them.
pub(super) fn check(listeners: &[NamedAddress], advertised: &[NamedAddress]) -> Result<(), ConfigError> {
    for (n, this) in listeners.iter().enumerate() {
        if let Some(other) = listeners.iter().take(n).find(|other| collide(this, other)) {
            let wants = format!("{other} has this port already: give each listener another port");
            return Err(ConfigError::value("kafka", this, wants));
        }
    }
    for address in advertised {
        if !listeners.iter().any(|listener| listener.name == address.name) {
            let wants = format!("kafka has no listener of this name; add {}://HOST:PORT to it", address.name);
            return Err(ConfigError::value("advertised", address, wants));
        }
        if address.is_wildcard() || address.port == 0 {
            let wants =
                "no client can connect there: it takes a host and port by which clients reach this node";
            return Err(ConfigError::value("advertised", address, wants));
        }
    }
    Ok(())
}

/// Whether two listeners want one port. Only two different addresses of the machine can share a number.
fn collide(this: &NamedAddress, other: &NamedAddress) -> bool {
    let apart = match (ip(&this.host), ip(&other.host)) {
        (Some(this), Some(other)) => this != other && !this.is_unspecified() && !other.is_unspecified(),
        _ => false,
    };
    this.port != 0 && this.port == other.port && !apart
}

/// The reason why a node of a cluster must not start with these addresses, if there is one. Other nodes tell clients
/// what this one registers, and a wildcard leads a client to its own machine.
pub(super) fn unreachable(
    listeners: &[NamedAddress],
    advertised: &[NamedAddress],
) -> Result<(), ConfigError> {
    let told = |name: &str| advertised.iter().find(|address| address.name == name);
    let Some(bad) = listeners.iter().find(|l| l.is_wildcard() && told(&l.name).is_none()) else {
        return Ok(());
    };
    let bare = listeners.len() == 1 && bad.name == PLAINTEXT;
    let wanted = listeners.iter().map(|listener| {
        let port = if listener.port == 0 { "PORT".to_owned() } else { listener.port.to_string() };
        match told(&listener.name) {
            Some(told) => told.to_string(),
            None if bare => format!("HOST:{port}"),
            None if listener.is_wildcard() => format!("{}://HOST:{port}", listener.name),
            None => listener.to_string(),
        }
    });
    let wanted = wanted.collect::<Vec<_>>().join(",");
    let given = advertised.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let wants = format!(
        "the listener {bad} takes clients on all addresses of this machine, and other nodes could tell clients none of \
         them: write --advertised {wanted}, where HOST is the name by which clients reach this machine"
    );
    Err(ConfigError::value("advertised", format!("\"{given}\""), wants))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<NamedAddress> {
        read("kafka", text).unwrap()
    }

    #[test]
    fn addresses_have_names_hosts_and_ports() {
        let rows = [
            ("localhost:9092", "PLAINTEXT://localhost:9092"),
            ("[::1]:0", "PLAINTEXT://[::1]:0"),
            ("::1:9092", "PLAINTEXT://[::1]:9092"),
            ("[fe80::1%eth0]:1", "PLAINTEXT://[fe80::1%eth0]:1"),
            ("A_1://0.0.0.0:9092, B://[::]:9093", "A_1://0.0.0.0:9092,B://[::]:9093"),
        ];
        for (text, shown) in rows {
            let read = all(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            assert_eq!(read, shown, "{text}");
        }
        assert_eq!(all("[::1]:7")[0].host, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        let many = (0..17).map(|n| format!("L{n}://h:{n}")).collect::<Vec<_>>().join(",");
        let rows = [
            ("", "HOST:PORT"),
            ("nonsense", "it takes HOST:PORT"),
            (":9092", "HOST:PORT"),
            ("a:b", "HOST:PORT"),
            ("a:70000", "HOST:PORT"),
            ("[a]:1", "HOST:PORT"),
            ("[::1:1", "HOST:PORT"),
            ("a:1,", "HOST:PORT"),
            ("http://a/b:1", "upper-case"),
            ("A://b/c:1", "HOST:PORT"),
            ("::1", "in brackets"),
            ("a-b://h:1", "upper-case"),
            ("://h:1", "upper-case"),
            ("SSL://h:1", "would promise encryption"),
            ("A://h:1,A://h:2", "two listeners are named A"),
            ("h:1,i:2", "two listeners are named PLAINTEXT"),
            (many.as_str(), "at most 16"),
        ];
        for (text, words) in rows {
            let error = read("kafka", text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn listeners_need_ports_of_their_own_and_advertised_ones_a_listener() {
        let checked = |listeners: &str, advertised: &str| {
            let advertised = if advertised.is_empty() { Vec::new() } else { all(advertised) };
            check(&all(listeners), &advertised).map_err(|error| error.to_string())
        };
        for fine in ["A://h:0,B://h:0", "A://127.0.0.1:1,B://127.0.0.2:1", "A://h:1,B://h:2"] {
            assert_eq!(checked(fine, "B://x:1"), Ok(()), "{fine}");
        }
        for same in ["A://h:1,B://h:1", "A://0.0.0.0:1,B://127.0.0.1:1", "A://::1:1,B://h:1"] {
            assert!(checked(same, "").unwrap_err().contains("another port"), "{same}");
        }
        assert!(checked("A://h:1", "x:1").unwrap_err().contains("add PLAINTEXT://HOST:PORT"));
        for nowhere in ["A://0.0.0.0:1", "A://[::]:1", "A://h:0"] {
            assert!(checked("A://h:1", nowhere).unwrap_err().contains("no client can"), "{nowhere}");
        }
    }

    #[test]
    fn a_wildcard_without_an_advertised_address_is_no_address_for_a_cluster() {
        let refused = |listeners: &str, advertised: &str| {
            let advertised = if advertised.is_empty() { Vec::new() } else { all(advertised) };
            unreachable(&all(listeners), &advertised).map_err(|error| error.to_string())
        };
        assert_eq!(refused("localhost:9092", ""), Ok(()));
        assert_eq!(refused("0.0.0.0:9092", "h:1"), Ok(()));
        let words = |listeners, advertised| refused(listeners, advertised).unwrap_err();
        assert!(
            words("0.0.0.0:9092", "").contains("--advertised HOST:9092,"),
            "{}",
            words("0.0.0.0:9092", "")
        );
        assert!(words("[::]:0", "").contains("--advertised HOST:PORT,"));
        let mixed = words("A://0.0.0.0:1,B://[::]:2,C://c:3", "B://b:22");
        assert!(mixed.contains("--advertised A://HOST:1,B://b:22,C://c:3,"), "{mixed}");
    }
}
