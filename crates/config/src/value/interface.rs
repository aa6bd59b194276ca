//! Tells which texts can be the name of an interface that has neighbors.

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
    /// A character that the kernel refuses.
    #[error("names of interfaces have neither blanks nor '/' nor ':', and are not '.' or '..'")]
    Character,
}

/// Checks the name of an interface as the kernel does (`dev_valid_name`), and that it is not the
/// loopback interface.
///
/// # Errors
///
/// What keeps `name` from being one.
pub fn check_interface_name(name: &str) -> Result<(), InterfaceNameError> {
    if name == "lo" {
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
        ] {
            assert_eq!(check_interface_name(name), Err(error), "{name}");
        }
    }
}
