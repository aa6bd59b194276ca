//! Reads and writes the kernel's IPv6 and IPv4 settings of one link in the calling thread's namespace.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

/// One setting of one link, as the file under `/proc/sys` that holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sysctl {
    path: PathBuf,
}

impl Sysctl {
    /// The setting `net.ipv6.conf.LINK.KEY`; `link` may also be `all` or `default`.
    ///
    /// # Errors
    ///
    /// [`SysctlError::Name`] if `link` or `key` would lead to another directory.
    pub fn conf(link: &str, key: &str) -> Result<Self, SysctlError> {
        Self::at("ipv6/conf", link, key)
    }

    /// The setting `net.ipv4.conf.LINK.KEY`; `link` may also be `all` or `default`.
    ///
    /// # Errors
    ///
    /// [`SysctlError::Name`] if `link` or `key` would lead to another directory.
    pub fn conf4(link: &str, key: &str) -> Result<Self, SysctlError> {
        Self::at("ipv4/conf", link, key)
    }

    /// The setting `net.ipv6.neigh.LINK.KEY`; `link` may also be `default`.
    ///
    /// # Errors
    ///
    /// [`SysctlError::Name`] if `link` or `key` would lead to another directory.
    pub fn neigh(link: &str, key: &str) -> Result<Self, SysctlError> {
        Self::at("ipv6/neigh", link, key)
    }

    /// Reads the value without the line feed at its end.
    ///
    /// # Errors
    ///
    /// [`SysctlError::Read`]; its source is [`io::ErrorKind::NotFound`] if there is no such link
    /// or the kernel does not know the key.
    pub fn read(&self) -> Result<String, SysctlError> {
        match fs::read_to_string(&self.path) {
            Ok(value) => Ok(value.trim_end().to_owned()),
            Err(source) => Err(SysctlError::Read { path: self.path.clone(), source }),
        }
    }

    /// Reads a value that is one number.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], and [`SysctlError::Number`] if the value is something else.
    pub fn read_number(&self) -> Result<i64, SysctlError> {
        let value = self.read()?;
        value.parse().map_err(|_| SysctlError::Number { path: self.path.clone(), value })
    }

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// [`SysctlError::Write`] if it may not be written or the kernel rejects it.
    pub fn write(&self, value: impl fmt::Display) -> Result<(), SysctlError> {
        let value = value.to_string();
        fs::write(&self.path, &value).map_err(|source| SysctlError::Write {
            path: self.path.clone(),
            value,
            source,
        })
    }

    /// A link's name may contain dots ("eth0.5"), so that the dotted notation of sysctl(8) is
    /// ambiguous; each part is one component of the path instead.
    fn at(directory: &str, link: &str, key: &str) -> Result<Self, SysctlError> {
        for part in [link, key] {
            if matches!(part, "" | "." | "..") || part.contains(['/', '\0']) {
                return Err(SysctlError::Name { name: part.to_owned() });
            }
        }
        let mut path = PathBuf::from("/proc/sys/net");
        path.extend([directory, link, key]);
        Ok(Self { path })
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// A setting could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The name of a link or of a setting is not one component of a path.
    #[error("{name:?} cannot be the name of a link or of a setting")]
    Name {
        /// The name.
        name: String,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The value is not a number.
    #[error("{} holds {value:?}, which is not a number", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// What it holds.
        value: String,
    },
    /// Writing failed.
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What should have been written.
        value: String,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_in_a_links_name_stay_in_its_component() {
        let sysctl = Sysctl::conf("eth0.5", "forwarding").unwrap();
        assert_eq!(sysctl.to_string(), "/proc/sys/net/ipv6/conf/eth0.5/forwarding");
        let sysctl = Sysctl::neigh("a..b", "app_solicit").unwrap();
        assert_eq!(sysctl.to_string(), "/proc/sys/net/ipv6/neigh/a..b/app_solicit");
        let sysctl = Sysctl::conf4("eth0.5", "rp_filter").unwrap();
        assert_eq!(sysctl.to_string(), "/proc/sys/net/ipv4/conf/eth0.5/rp_filter");
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        for (link, key) in [
            ("..", "forwarding"),
            ("../..", "x"),
            ("", "x"),
            ("eth0", "a/b"),
            ("eth0", "."),
            ("a\0", "x"),
        ] {
            assert!(
                matches!(Sysctl::conf(link, key), Err(SysctlError::Name { .. })),
                "{link:?} {key:?}"
            );
        }
    }
}
