//! The envelope of requests and replies, and the names in it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Name of the interface that the daemon offers.
pub const INTERFACE: &str = "io.magpie";

/// The interface in Varlink's description language.
pub const INTERFACE_DESCRIPTION: &str = include_str!("io.magpie.varlink");

pub(crate) const SERVICE: &str = "org.varlink.service";

pub(crate) const STATUS: &str = "io.magpie.Status";
pub(crate) const HOSTS: &str = "io.magpie.Hosts";
pub(crate) const NAMES: &str = "io.magpie.Names";
pub(crate) const ROUTES: &str = "io.magpie.Routes";
pub(crate) const TARGETS: &str = "io.magpie.Targets";
pub(crate) const RULES: &str = "io.magpie.Rules";
pub(crate) const ADD_RULES: &str = "io.magpie.AddRules";
pub(crate) const REMOVE_RULES: &str = "io.magpie.RemoveRules";
pub(crate) const ANNOUNCE: &str = "io.magpie.Announce";
pub(crate) const RELOAD: &str = "io.magpie.Reload";
pub(crate) const WATCH: &str = "io.magpie.Watch";
pub(crate) const GET_INFO: &str = "org.varlink.service.GetInfo";
pub(crate) const GET_INTERFACE_DESCRIPTION: &str = "org.varlink.service.GetInterfaceDescription";

pub(crate) const RELOAD_FAILED: &str = "io.magpie.ReloadFailed";
pub(crate) const RULE_REFUSED: &str = "io.magpie.RuleRefused";
pub(crate) const NO_SUCH_LINK: &str = "io.magpie.NoSuchLink";
pub(crate) const BUSY: &str = "io.magpie.Busy";
pub(crate) const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
pub(crate) const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
pub(crate) const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
pub(crate) const EXPECTED_MORE: &str = "org.varlink.service.ExpectedMore";

/// A request.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Call {
    /// Interface and method, joined by a dot.
    pub(crate) method: String,
    /// Arguments of the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Map<String, Value>>,
    /// The caller is ready for any number of replies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) more: bool,
    /// The caller wants no reply at all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) oneway: bool,
}

/// A reply to be sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer<'a, T> {
    /// Name of the error, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'a str>,
    /// Results of the method or particulars of the error.
    pub(crate) parameters: T,
    /// Another reply to the same request will follow.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) continues: bool,
}

/// A reply that was received.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reply {
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) parameters: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) continues: bool,
}

impl<'a, T> Answer<'a, T> {
    pub(crate) const fn result(parameters: T) -> Self {
        Self { error: None, parameters, continues: false }
    }

    pub(crate) const fn more(parameters: T) -> Self {
        Self { error: None, parameters, continues: true }
    }

    pub(crate) const fn error(name: &'a str, parameters: T) -> Self {
        Self { error: Some(name), parameters, continues: false }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}
