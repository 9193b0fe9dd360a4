//! Packets that belong to no association (RFC 9260 §8.4).

use super::packet::{self, InitFields, Packet, chunk};

/// The answer to an out-of-the-blue packet, if it gets one. INIT and COOKIE ECHO have been looked at before:
/// what comes here of them is refused.
pub(super) fn answer(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let ports = (packet.destination_port(), packet.source_port());
    let first = packet.first()?;
    // Rule 2, rules 6 and 7: silence, or two endpoints would talk for ever. §5.2.3 for INIT ACK.
    let silent = [chunk::ABORT, chunk::SHUTDOWN_COMPLETE, chunk::COOKIE_ACK, chunk::ERROR, chunk::INIT_ACK];
    if silent.iter().any(|kind| packet.contains(*kind)) {
        return None;
    }
    // Rule 3: an INIT tells the tag to answer with.
    if first.kind == chunk::INIT {
        let tag = InitFields::parse(first.value)?.initiate_tag;
        return (tag != 0).then(|| packet::single(ports, tag, chunk::ABORT, 0, &[]));
    }
    // Rule 5.
    if packet.contains(chunk::SHUTDOWN_ACK) {
        return Some(packet::single(ports, packet.tag(), chunk::SHUTDOWN_COMPLETE, chunk::FLAG_T, &[]));
    }
    // Rule 8.
    Some(packet::single(ports, packet.tag(), chunk::ABORT, chunk::FLAG_T, &[]))
}
