//! From a query to an answer, as far as the table of names goes. Pure but for the order of
//! replicas.
//!
//! Wire format by RFC 1035, negative answers by RFC 2308, SRV by RFC 2782, EDNS by RFC 6891.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR, SRV},
    },
};
use model::{ContainerId, port::Protocol};

use super::{
    Reach,
    names::{Addresses, Names, Reverse},
};

/// Seconds that an answer may be kept: containers come and go.
const TTL_SECONDS: u32 = 5;
/// What a datagram may carry without EDNS.
const PLAIN_UDP_MAX: usize = 512;
/// What we send at most in a datagram with EDNS: fits every path unfragmented (DNS flag day 2020).
const EDNS_UDP_MAX: u16 = 1232;

/// What to do with a query.
#[derive(Debug)]
pub enum Outcome {
    /// Send this back.
    Answer(Message),
    /// Ask an upstream server.
    Forward(Message),
    /// Nothing that deserves an answer.
    Ignore,
}

/// Answers a query from the table of names.
pub fn answer(packet: &[u8], viewer: &ContainerId, reach: &Reach, names: &Names) -> Outcome {
    let Ok(query) = Message::from_vec(packet) else { return malformed(packet) };
    if query.metadata.message_type != MessageType::Query {
        return Outcome::Ignore;
    }
    if query.metadata.op_code != OpCode::Query {
        return Outcome::Answer(reply(&query, ResponseCode::NotImp));
    }
    let [question] = &query.queries[..] else {
        return Outcome::Answer(reply(&query, ResponseCode::FormErr));
    };
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Outcome::Answer(reply(&query, ResponseCode::BADVERS));
    }
    if question.query_class != DNSClass::IN {
        return Outcome::Answer(reply(&query, ResponseCode::Refused));
    }
    match local(question, viewer, reach, names) {
        Some(Local::Known(answers, additionals)) => {
            let mut message = reply(&query, ResponseCode::NoError);
            message.metadata.authoritative = true;
            message.insert_answers(answers);
            message.insert_additionals(additionals);
            Outcome::Answer(message)
        }
        Some(Local::Nobody) => Outcome::Answer(reply(&query, ResponseCode::NXDomain)),
        None if !reach.outside => Outcome::Answer(reply(&query, ResponseCode::NXDomain)),
        None => Outcome::Forward(query),
    }
}

/// An empty answer to a query.
pub fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(query.metadata.id, query.metadata.op_code);
    message.metadata.recursion_desired = query.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.add_queries(query.queries.iter().cloned());
    message.edns = own_edns(query, code);
    message
}

/// EDNS goes from hop to hop (RFC 6891, 6.1.1): ours, where the sender of `query` speaks it, with
/// its wish for signatures and without its options.
pub fn own_edns(query: &Message, code: ResponseCode) -> Option<Edns> {
    let theirs = query.edns.as_ref()?;
    let mut edns = Edns::new();
    edns.set_max_payload(EDNS_UDP_MAX);
    edns.set_rcode_high(code.high());
    edns.set_dnssec_ok(theirs.flags().dnssec_ok);
    Some(edns)
}

/// The bytes of an answer; over UDP what doesn't fit is cut and marked so, and the client comes
/// again by TCP. `client_max`: what the client's query allows, `None` over TCP.
pub fn encode(message: &Message, client_max: Option<usize>) -> Option<Vec<u8>> {
    let bytes = message.to_vec().ok()?;
    match client_max {
        Some(max) if bytes.len() > max => message.truncate().to_vec().ok(),
        _ => Some(bytes),
    }
}

/// How large a datagram the sender of a query takes.
pub fn udp_max(query: &Message) -> usize {
    match &query.edns {
        Some(edns) => usize::from(edns.max_payload().clamp(512, EDNS_UDP_MAX)),
        None => PLAIN_UDP_MAX,
    }
}

enum Local {
    /// The name is ours: answers (maybe none of this type) and additional records.
    Known(Vec<Record>, Vec<Record>),
    /// The name would be ours, and nobody has it.
    Nobody,
}

fn local(question: &Query, viewer: &ContainerId, reach: &Reach, names: &Names) -> Option<Local> {
    let networks = &reach.networks;
    let name = question.name();
    if question.query_type == RecordType::PTR {
        let addr =
            name.parse_arpa_name().ok().filter(|net| net.prefix_len() == net.max_prefix_len())?;
        return match names.reverse(networks, addr.addr()) {
            Reverse::Name(target) => {
                let target = Name::from_ascii(target).ok()?;
                Some(Local::Known(vec![record(name, RData::PTR(PTR(target)))], Vec::new()))
            }
            Reverse::Nobody => Some(Local::Nobody),
            Reverse::Foreign => None,
        };
    }
    if let Some((label, protocol, service)) = service_of(name) {
        let instances = names.service(viewer, networks, &label, protocol, &service)?;
        let mut answers = Vec::new();
        let mut additionals = Vec::new();
        for instance in shuffled(instances) {
            let target = Name::from_ascii(format!("{}.", instance.name)).ok()?;
            let data = SRV::new(0, 1, instance.port, target.clone());
            answers.push(record(name, RData::SRV(data)));
            additionals.extend(address_records(&target, instance.addresses, RecordType::ANY));
        }
        let wanted = matches!(question.query_type, RecordType::SRV | RecordType::ANY);
        let nothing = answers.is_empty() || !wanted;
        return Some(if nothing {
            Local::Known(vec![], vec![])
        } else {
            Local::Known(answers, additionals)
        });
    }
    let addresses = names.resolve(viewer, networks, &ascii(name))?;
    Some(Local::Known(address_records(name, addresses, question.query_type), Vec::new()))
}

/// Address records of the asked type, in random order.
fn address_records(name: &Name, addresses: Addresses, kind: RecordType) -> Vec<Record> {
    let any = kind == RecordType::ANY;
    let mut records = Vec::new();
    if any || kind == RecordType::A {
        records.extend(addresses.v4.into_iter().map(|addr| record(name, RData::A(A(addr)))));
    }
    if any || kind == RecordType::AAAA {
        records.extend(addresses.v6.into_iter().map(|addr| record(name, RData::AAAA(AAAA(addr)))));
    }
    shuffled(records)
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_SECONDS, data)
}

/// `_label._tcp.name` → label, protocol, name.
fn service_of(name: &Name) -> Option<(String, Protocol, String)> {
    let text = ascii(name);
    let (label, rest) = text.strip_prefix('_')?.split_once("._")?;
    let (protocol, service) = rest.split_once('.')?;
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((label.to_owned(), protocol, service.to_owned()))
}

/// The name's text. Bytes that are no letters come out escaped and match nothing of ours.
fn ascii(name: &Name) -> String {
    name.to_ascii()
}

/// Random order, from the standard library's random hash keys.
fn shuffled<T>(items: Vec<T>) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let random = RandomState::new();
    let mut keyed: Vec<(u64, T)> =
        items.into_iter().zip(0u64..).map(|(item, at)| (random.hash_one(at), item)).collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// Something that has at least a header gets told so.
fn malformed(packet: &[u8]) -> Outcome {
    const RESPONSE_BIT: u8 = 0x80;
    match packet {
        [high, low, flags, ..] if packet.len() >= 12 && flags & RESPONSE_BIT == 0 => {
            let id = u16::from_be_bytes([*high, *low]);
            Outcome::Answer(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr))
        }
        _ => Outcome::Ignore,
    }
}

/// True for addresses that a query must not be sent to: our own.
pub fn is_own(addr: IpAddr) -> bool {
    addr == crate::files::INTERNAL_SERVER
}

#[cfg(test)]
mod tests {
    use model::{
        NetworkId,
        port::{ContainerPort, Protocol},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::{dns::names::Endpoint, endpoint::ServicePort};

    fn viewer() -> ContainerId {
        ContainerId::from_bytes([1; 32])
    }

    fn reach(outside: bool) -> Reach {
        Reach { networks: vec![NetworkId::from_bytes([1; 32])], outside }
    }

    fn table(replicas: u8) -> Names {
        let network = NetworkId::from_bytes([1; 32]);
        let mut names = Names::default();
        names.put_network(network.clone(), "net", vec!["10.0.0.0/24".parse().unwrap()]);
        for number in 1..=replicas {
            let port = ContainerPort { port: 80, protocol: Protocol::Tcp };
            let endpoint = Endpoint {
                ipv4: Some([10, 0, 0, number].into()),
                names: vec![format!("my_web-{number}")],
                aliases: vec!["web".into()],
                services: vec![ServicePort { label: Some("http".into()), port }],
                ..Endpoint::default()
            };
            names.put(&network, &ContainerId::from_bytes([number; 32]), endpoint);
        }
        names
    }

    fn ask(name: &str, kind: RecordType, names: &Names, outside: bool) -> Outcome {
        let mut query = Message::query();
        query.metadata.id = 77;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        answer(&query.to_vec().unwrap(), &viewer(), &reach(outside), names)
    }

    fn told(outcome: Outcome) -> (ResponseCode, Vec<String>) {
        let Outcome::Answer(message) = outcome else { panic!("{outcome:?}") };
        assert_eq!(message.metadata.id, 77);
        let answers = message.answers.iter().map(|record| record.data.to_string());
        (message.metadata.response_code, answers.collect())
    }

    #[test]
    fn names_of_ours_never_leave() {
        let names = table(1);
        let a = told(ask("my_web-1.", RecordType::A, &names, true));
        assert_eq!(a, (ResponseCode::NoError, vec!["10.0.0.1".to_owned()]));
        // Known, without IPv6, without mail: no error, no data.
        for kind in [RecordType::AAAA, RecordType::MX] {
            assert_eq!(told(ask("web.", kind, &names, true)), (ResponseCode::NoError, vec![]));
        }
        assert!(matches!(ask("example.org.", RecordType::A, &names, true), Outcome::Forward(_)));
        let refused = told(ask("example.org.", RecordType::A, &names, false));
        assert_eq!(refused, (ResponseCode::NXDomain, vec![]));
    }

    #[test]
    fn reverse_names() {
        let names = table(1);
        let found = told(ask("1.0.0.10.in-addr.arpa.", RecordType::PTR, &names, true));
        assert_eq!(found.1, ["my_web-1.net"]);
        let nobody = told(ask("9.0.0.10.in-addr.arpa.", RecordType::PTR, &names, true));
        assert_eq!(nobody.0, ResponseCode::NXDomain);
        let foreign = ask("1.2.0.192.in-addr.arpa.", RecordType::PTR, &names, true);
        assert!(matches!(foreign, Outcome::Forward(_)));
    }

    #[test]
    fn services() {
        let names = table(2);
        let Outcome::Answer(message) = ask("_http._tcp.web.", RecordType::SRV, &names, true) else {
            panic!("not answered");
        };
        assert_eq!(message.answers.len(), 2);
        assert_eq!(message.additionals.len(), 2);
        let none = told(ask("_ftp._tcp.web.", RecordType::SRV, &names, true));
        assert_eq!(none, (ResponseCode::NoError, vec![]));
    }

    #[test]
    fn replicas_change_places_and_long_answers_are_cut() {
        let names = table(200);
        let orders: std::collections::HashSet<Vec<String>> =
            (0..5).map(|_| told(ask("web.", RecordType::A, &names, true)).1).collect();
        assert!(orders.len() > 1);
        let Outcome::Answer(message) = ask("web.", RecordType::A, &names, true) else { panic!() };
        let short = encode(&message, Some(512)).unwrap();
        assert!(short.len() <= 512);
        assert!(Message::from_vec(&short).unwrap().metadata.truncation);
        let whole = Message::from_vec(&encode(&message, None).unwrap()).unwrap();
        assert_eq!(whole.answers.len(), 200);
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let names = table(1);
            if let Outcome::Answer(message) = answer(&packet, &viewer(), &reach(true), &names) {
                prop_assert!(encode(&message, Some(512)).is_some());
            }
        }
    }
}
