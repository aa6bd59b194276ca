//! Has neighbors told anew which addresses are answered for here.

use std::process::ExitCode;

use magpie_control::{Announce, Announced, Client};

use super::conclude;
use crate::cli::AnnounceArgs;
use crate::views::{ViewError, print};

/// Asks for announcements, and says how many are on their way.
pub(crate) fn run(args: &AnnounceArgs) -> ExitCode {
    conclude(announce(args))
}

fn announce(args: &AnnounceArgs) -> Result<(), ViewError> {
    let request = Announce { link: args.link.clone() };
    let announced = Client::connect(&args.control.control)?.announce(&request)?;
    print(&text(announced)).map(drop)
}

fn text(announced: Announced) -> String {
    let Announced { announcements, links, seconds } = announced;
    if announcements == 0 {
        return "there is nothing to announce\n".to_owned();
    }
    let count = |number: u64, of: &str| match number {
        1 => format!("1 {of}"),
        _ => format!("{number} {of}s"),
    };
    let span = if seconds == 0 { "at once".to_owned() } else { format!("within {seconds} s") };
    format!("{} on {}, {span}\n", count(announcements, "announcement"), count(links, "link"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_told_in_one_line() {
        for (announcements, links, seconds, expected) in [
            (0, 2, 0, "there is nothing to announce\n"),
            (1, 1, 0, "1 announcement on 1 link, at once\n"),
            (250, 2, 2, "250 announcements on 2 links, within 2 s\n"),
        ] {
            assert_eq!(text(Announced { announcements, links, seconds }), expected);
        }
    }
}
