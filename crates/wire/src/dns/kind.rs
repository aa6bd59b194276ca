//! Record types, classes and their names (RFC 1035 section 3.2, RFC 6895 section 3).

use std::borrow::Cow;

/// IPv4 address (RFC 1035 section 3.4.1).
pub const A: u16 = 1;
/// Name server (RFC 1035 section 3.3.11).
pub const NS: u16 = 2;
/// Canonical name of an alias (RFC 1035 section 3.3.1).
pub const CNAME: u16 = 5;
/// Start of a zone (RFC 1035 section 3.3.13).
pub const SOA: u16 = 6;
/// Any octets (RFC 1035 section 3.3.10).
pub const NULL: u16 = 10;
/// Another name (RFC 1035 section 3.3.12).
pub const PTR: u16 = 12;
/// Processor and system (RFC 1035 section 3.3.2).
pub const HINFO: u16 = 13;
/// Mail exchange (RFC 1035 section 3.3.9).
pub const MX: u16 = 15;
/// Text strings (RFC 1035 section 3.3.14).
pub const TXT: u16 = 16;
/// Responsible person (RFC 1183 section 2.2).
pub const RP: u16 = 17;
/// Server of a cell's data base (RFC 1183 section 1).
pub const AFSDB: u16 = 18;
/// Route through (RFC 1183 section 3.3).
pub const RT: u16 = 21;
/// X.400 mapping (RFC 2163 section 4).
pub const PX: u16 = 26;
/// IPv6 address (RFC 3596 section 2.1).
pub const AAAA: u16 = 28;
/// Where a service is (RFC 2782).
pub const SRV: u16 = 33;
/// Key exchanger (RFC 2230 section 3.1).
pub const KX: u16 = 36;
/// Another name for a whole tree (RFC 6672 section 2.1).
pub const DNAME: u16 = 39;
/// Not data but what the sender can do (RFC 6891 section 6.1.1).
pub const OPT: u16 = 41;
/// Which types there are (RFC 6762 section 6.1).
pub const NSEC: u16 = 47;
/// How to reach a service (RFC 9460 section 2).
pub const SVCB: u16 = 64;
/// How to reach a web service (RFC 9460 section 9).
pub const HTTPS: u16 = 65;
/// In questions: whatever there is (RFC 1035 section 3.2.3).
pub const ANY: u16 = 255;

/// The Internet, the one class of multicast DNS (RFC 1035 section 3.2.4).
pub const CLASS_IN: u16 = 1;
/// In questions: whatever class (RFC 1035 section 3.2.5).
pub const CLASS_ANY: u16 = 255;

/// Returns the name of a record type: `AAAA`, or `TYPE99` where it has none here (RFC 3597 section
/// 5).
pub fn kind_name(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        A => "A",
        NS => "NS",
        CNAME => "CNAME",
        SOA => "SOA",
        NULL => "NULL",
        PTR => "PTR",
        HINFO => "HINFO",
        MX => "MX",
        TXT => "TXT",
        RP => "RP",
        AFSDB => "AFSDB",
        RT => "RT",
        PX => "PX",
        AAAA => "AAAA",
        SRV => "SRV",
        KX => "KX",
        DNAME => "DNAME",
        OPT => "OPT",
        NSEC => "NSEC",
        SVCB => "SVCB",
        HTTPS => "HTTPS",
        ANY => "ANY",
        other => return Cow::Owned(format!("TYPE{other}")),
    })
}
