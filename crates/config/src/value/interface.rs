//! Tells which texts can be the name of an interface that has neighbors.

use crate::selector::{LOOPBACK, WILDCARDS};

/// Why a text is not the name of such an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InterfaceNameError {
    /// The loopback interface.
    #[error("the loopback interface 'lo' has no neighbors")]
    Loopback,
    /// Nothing at all.
    #[error("the name of an interface is missing")]
    Empty,
    /// More octets than the kernel keeps.
    #[error("names of interfaces have at most {} characters", IFNAMSIZ - 1)]
    TooLong,
    /// A character that stands for others here.
    #[error("`*` and `?` stand for other characters: this is not one interface")]
    Wildcard,
    /// A character that the kernel refuses.
    #[error("names of interfaces have neither blanks nor '/' nor ':', and are not '.' or '..'")]
    Character,
}

/// Checks the name of one interface as the kernel does (`dev_valid_name`), that it is not the
/// loopback interface, and that it would not be taken for a pattern.
///
/// # Errors
///
/// What keeps `name` from being one.
pub fn check_interface_name(name: &str) -> Result<(), InterfaceNameError> {
    if name == LOOPBACK {
        return Err(InterfaceNameError::Loopback);
    }
    if name.is_empty() {
        return Err(InterfaceNameError::Empty);
    }
    if name.len() >= IFNAMSIZ {
        return Err(InterfaceNameError::TooLong);
    }
    let refused = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if matches!(name, "." | "..") || name.contains(refused) {
        return Err(InterfaceNameError::Character);
    }
    if name.contains(WILDCARDS) {
        return Err(InterfaceNameError::Wildcard);
    }
    Ok(())
}

/// Octets of a name with the zero at its end.
const IFNAMSIZ: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_kernel_accepts() {
        for name in ["wan", "br-lan", "eth0.100", "wlan0@x", "fifteen-letters", "\u{fc}"] {
            assert_eq!(check_interface_name(name), Ok(()), "{name}");
        }
        for (name, error) in [
            ("lo", InterfaceNameError::Loopback),
            ("", InterfaceNameError::Empty),
            ("sixteen-letters-", InterfaceNameError::TooLong),
            ("a b", InterfaceNameError::Character),
            ("a/b", InterfaceNameError::Character),
            ("eth0:1", InterfaceNameError::Character),
            ("..", InterfaceNameError::Character),
            ("veth*", InterfaceNameError::Wildcard),
            ("eth?", InterfaceNameError::Wildcard),
        ] {
            assert_eq!(check_interface_name(name), Err(error), "{name}");
        }
    }
}
