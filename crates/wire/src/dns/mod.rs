//! DNS messages as multicast DNS uses them (RFC 6762 section 18): questions and records to values
//! and back.
//!
//! Octets are read by `simple-dns`, of which nothing shows. What it would take too lightly, too
//! seriously or at too high a price is seen to before it gets to look: `layout` walks over every
//! message first. It writes whole messages only, so that `write` is there to find out as cheaply how
//! many octets each record takes.
//!
//! ```
//! use magpie_wire::dns::{Composer, Data, Header, Message, Question, Section, kind};
//!
//! let question = Question {
//!     name: "pi-41.local".parse()?,
//!     kind: kind::AAAA,
//!     class: kind::CLASS_IN,
//!     unicast: false,
//! };
//! let mut query = Composer::new(Header::default(), 1452);
//! query.push_question(&question)?;
//! let octets = query.finish();
//! let message = Message::parse(&octets)?;
//! assert_eq!(message.questions, [question]);
//! assert!(message.answers.iter().all(|record| matches!(record.data(), Data::Aaaa(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compose;
pub mod kind;
mod layout;
mod message;
mod name;
mod record;
mod write;

pub use compose::{Composer, Full, Header, Section};
pub use kind::kind_name;
pub use layout::MalformedMessage;
pub use message::Message;
pub use name::{Name, ParseNameError};
pub use record::{Data, Question, Record, Types};

/// The longest message: a packet of 9000 octets, headers included, is the longest that multicast DNS
/// knows (RFC 6762 section 17).
pub const MAX_LEN: usize = 9000;
