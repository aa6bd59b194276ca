//! Outputs as short texts: `up mA>mU fe80::10>fe80::1 NA P::21 S +TLLA mA`.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use magpie_engine::{Event, KernelOp, LinkId, Output, Transmit};
use magpie_wire::{LinkAddr, Message};

use crate::names::{DN, EVIL, MA, MB, MC, MH, MU, MZ, THIRD, TUN, UP};

pub(crate) fn output(output: &Output) -> String {
    match output {
        Output::Transmit(sent) => transmit(sent),
        Output::Datagram(sent) => format!("{} datagram {}", link(sent.link), sent.frame.len()),
        Output::Kernel { op, .. } => kernel_op(op),
        Output::FindRoute { target, from, .. } => match from {
            Some(from) => format!("find {} from {}", address(*target), link(*from)),
            None => format!("find {}", address(*target)),
        },
        Output::Event(told) => event(told),
    }
}

pub(crate) fn transmit(sent: &Transmit) -> String {
    let packet = &sent.packet;
    let mut text = format!("{} ", link(sent.link));
    if !sent.is_bare() {
        text += &lladdr(packet.ethernet_source);
        text.push('>');
        text += &lladdr(packet.ethernet_destination);
        text.push(' ');
    }
    text.extend([&address(packet.source), ">", &address(packet.destination), " "]);
    match packet.message {
        Message::Solicit(solicit) => {
            text += "NS ";
            text += &address(solicit.target);
            append_lladdr(&mut text, "SLLA", solicit.source_lladdr);
            match solicit.nonce {
                // Those of relayed probes are somebody else's and have to stay as they are.
                Some(nonce) if packet.source.is_unspecified() => {
                    text += " +nonce ";
                    for octet in nonce.as_bytes() {
                        write!(text, "{octet:02x}").expect("strings take everything");
                    }
                }
                Some(_) => text += " +nonce",
                None => {}
            }
        }
        Message::Advert(advert) => {
            text += "NA ";
            text += &address(advert.target);
            text.push(' ');
            for (flag, name) in
                [(advert.router, 'R'), (advert.solicited, 'S'), (advert.overrides, 'O')]
            {
                if flag {
                    text.push(name);
                }
            }
            if text.ends_with(' ') {
                text.push('-');
            }
            append_lladdr(&mut text, "TLLA", advert.target_lladdr);
        }
        Message::MulticastRouterAdvert(_) => text += "MRA",
        Message::MulticastRouterTermination => text += "MRT",
        other => panic!("never sent: {other:?}"),
    }
    text
}

pub(crate) fn kernel_op(op: &KernelOp) -> String {
    match *op {
        KernelOp::SetRoute { target, link: to } => {
            format!("route {} {}", address(target), link(to))
        }
        KernelOp::DelRoute { target, link: to } => {
            format!("unroute {} {}", address(target), link(to))
        }
        KernelOp::JoinGroup { link: on, group } => format!("join {} {group}", link(on)),
        KernelOp::LeaveGroup { link: on, group } => format!("leave {} {group}", link(on)),
    }
}

pub(crate) fn event(event: &Event) -> String {
    match *event {
        Event::Found { target, link: on, lladdr: of, evidence } => {
            format!(
                "found {} {} {} {}",
                address(target),
                link(on),
                some_lladdr(of),
                evidence.label()
            )
        }
        Event::Moved { target, from, to, lladdr: of } => {
            format!("moved {} {}>{} {}", address(target), link(from), link(to), some_lladdr(of))
        }
        Event::Displaced { target, link: on, lladdr: of } => {
            let of = of.map_or_else(|| "-".to_owned(), lladdr);
            format!("displaced {} {} {of}", address(target), link(on))
        }
        Event::Forgotten { target, link: on, why } => {
            format!("forgotten {} {} {}", address(target), link(on), why.label())
        }
        Event::Duplicate { target, owner, claimant, lladdr: of } => {
            let (owner, claimant) = (link(owner), link(claimant));
            format!("duplicate {} {owner}<{claimant} {}", address(target), some_lladdr(of))
        }
        Event::ClaimRejected { target, link: on, lladdr: of } => {
            format!("rejected {} {} {}", address(target), link(on), some_lladdr(of))
        }
        Event::Loop { link: on, target } => format!("loop {} {}", address(target), link(on)),
        Event::OwnAddressClaimed { target, link: on, lladdr: of } => {
            format!("own {} {} {}", address(target), link(on), some_lladdr(of))
        }
        Event::RouteFailed { target, link: on, errno } => {
            format!("route-failed {} {} {errno}", address(target), link(on))
        }
        Event::RouteRepaired { target, link: on } => {
            format!("route-repaired {} {}", address(target), link(on))
        }
        Event::ForeignRoute { target, link: on } => {
            format!("foreign {} {}", address(target), link(on))
        }
        Event::Name(ref told) => format!("{told:?}"),
        Event::Refused { link: on, reason } => format!("refused {} {}", link(on), reason.label()),
    }
}

fn some_lladdr(some: Option<LinkAddr>) -> String {
    some.map_or_else(|| "-".to_owned(), lladdr)
}

pub(crate) fn link(id: LinkId) -> String {
    match id {
        UP => "up".to_owned(),
        DN => "dn".to_owned(),
        THIRD => "third".to_owned(),
        TUN => "tun".to_owned(),
        LinkId(other) => format!("#{other}"),
    }
}

pub(crate) fn lladdr(lladdr: LinkAddr) -> String {
    let names =
        [(MU, "mU"), (MA, "mA"), (MB, "mB"), (MC, "mC"), (MH, "mH"), (MZ, "mZ"), (EVIL, "evil")];
    names
        .into_iter()
        .find(|(known, _)| *known == lladdr)
        .map_or_else(|| lladdr.to_string(), |(_, name)| name.to_owned())
}

pub(crate) fn address(address: Ipv6Addr) -> String {
    let text = address.to_string();
    text.strip_prefix("2001:db8:1::").map_or(text.clone(), |suffix| format!("P::{suffix}"))
}

fn append_lladdr(text: &mut String, name: &str, option: Option<LinkAddr>) {
    if let Some(option) = option {
        text.extend([" +", name, " ", &lladdr(option)]);
    }
}
