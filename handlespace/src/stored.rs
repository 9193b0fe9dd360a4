//! How an element gets into memory to stay, with few allocations and few looks at what is there already.

use params::{PoolElement, SctpTransport, Transport};

/// Gives back what decoding left over.
pub(crate) fn compact(mut element: PoolElement) -> PoolElement {
    if let Transport::Sctp(sctp) = &mut element.user_transport {
        sctp.addresses.shrink_to_fit();
    }
    if let Some(asap) = &mut element.asap_transport {
        asap.addresses.shrink_to_fit();
    }
    element
}

/// Replaces a stored element.
///
/// As many addresses as before take the place of those. In a large pool the old ones are not in the cache: to write
/// there costs little, to free the memory would have to wait for it.
pub(crate) fn replace(stored: &mut PoolElement, element: PoolElement) {
    let PoolElement { id, home, life, user_transport, policy, asap_transport } = compact(element);
    (stored.id, stored.home, stored.life, stored.policy) = (id, home, life, policy);
    match (&mut stored.user_transport, user_transport) {
        (Transport::Sctp(stored), Transport::Sctp(new)) => replace_sctp(stored, new),
        (stored, new) => *stored = new,
    }
    match (&mut stored.asap_transport, asap_transport) {
        (Some(stored), Some(new)) => replace_sctp(stored, new),
        (stored, new) => *stored = new,
    }
}

fn replace_sctp(stored: &mut SctpTransport, SctpTransport { port, transport_use, addresses }: SctpTransport) {
    (stored.port, stored.transport_use) = (port, transport_use);
    if stored.addresses.len() == addresses.len() {
        stored.addresses.copy_from_slice(&addresses);
    } else {
        stored.addresses = addresses;
    }
}
