//! What happens to associations as time passes: handshakes, arrivals, ends.

use super::*;

impl Channels {
    /// The host that a happening needs running and awake.
    fn host_of(&self, happening: &Happening) -> Option<HostId> {
        let id = match happening {
            Happening::Init(id) => return HostId::at(self.ends.get(id)?.remote.ip()),
            Happening::Announcement(host, _) => return Some(*host),
            Happening::Established(id)
            | Happening::InitTimeout(id)
            | Happening::Arrival(id, _)
            | Happening::Gone(id, _)
            | Happening::Watch(id) => id,
        };
        Some(self.ends.get(id)?.host)
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let host = self.host_of(&happening).and_then(|host| self.hosts.get_mut(&host));
        if let Some(host) = host.filter(|host| host.is_deaf()) {
            return host.missed.push(happening);
        }
        match happening {
            Happening::Init(id) => self.knock(id),
            Happening::Established(id) => self.established(id),
            Happening::InitTimeout(id) => {
                if self.ends.get(&id).is_some_and(|end| !end.established) {
                    self.down(id, DownReason::Unreachable);
                }
            }
            Happening::Arrival(id, parcel) => self.arrive(id, parcel),
            Happening::Gone(id, why) => self.down(id, why),
            Happening::Watch(id) => self.watch(id),
            Happening::Announcement(host, input) => self.tell(host, input),
        }
    }

    fn knock(&mut self, id: EndId) {
        let Some(end) = self.ends.get(&id).filter(|end| !end.established) else { return };
        let (from, local, remote) = (end.host, end.local, end.remote);
        let Some(to) = HostId::at(remote.ip()) else { return };
        if !self.passes(from, to) || !self.passes(to, from) {
            return;
        }
        let (there, back) = (self.delay() * 3, self.delay());
        let listens = self.hosts.get(&to).is_some_and(|host| host.running) && listening(to, remote).is_some();
        let why = match listens {
            false if self.manners.icmp => Some("ICMP: port unreachable"),
            false => return,
            true => (self.rng.random_range(0..1000) < self.manners.refused).then_some("refused"),
        };
        if let Some(why) = why {
            return self.at(self.now + back, Happening::Gone(id, DownReason::ConnectFailed(why.into())));
        }
        let Some(channel) = listening(to, remote) else { return };
        // A shutdown that a process has asked for is not over because its peer is a new one.
        let mut ends_anew = false;
        let peer = match self.twin(remote, local) {
            Some(twin) => {
                let gone = self.ends.get(&twin).and_then(|twin| twin.peer).filter(|peer| *peer != id);
                let Some(end) = self.ends.get_mut(&twin) else { return };
                end.peer = Some(id);
                ends_anew = end.established && gone.is_some() && end.shutting_down;
                match (end.established, gone) {
                    // Both connect at the same time: one association, each end with its own name.
                    (false, _) => self.at(self.now + there, Happening::Established(twin)),
                    // The peer has forgotten the old association (RFC 9260 §5.2).
                    (true, Some(_)) => {
                        let assoc = end.assoc;
                        // What is still on its way has the old verification tag.
                        self.agenda.retain(
                            |_, happening| !matches!(happening, Happening::Arrival(id, _) if *id == twin),
                        );
                        end.stuck.clear();
                        end.unread.clear();
                        end.queued = 0;
                        let was_full = std::mem::take(&mut end.full);
                        self.tell(to, Input::Restart { assoc });
                        if was_full {
                            self.tell(to, Input::Writable { assoc });
                        }
                    }
                    (true, None) => {}
                }
                twin
            }
            None => {
                let Some(host) = self.hosts.get_mut(&to) else { return };
                host.accepted += 1;
                let assoc = AssocId::accepted(channel, host.accepted);
                let accepted = self.insert(End::new(to, assoc, channel, remote, local));
                if let Some(end) = self.ends.get_mut(&accepted) {
                    end.peer = Some(id);
                }
                self.at(self.now + there, Happening::Established(accepted));
                accepted
            }
        };
        if let Some(end) = self.ends.get_mut(&id) {
            end.peer = Some(peer);
        }
        let established = self.now + there + back;
        if let Some(peer) = self.ends.get_mut(&peer) {
            peer.arrival = peer.arrival.max(established);
        }
        self.at(established, Happening::Established(id));
        if ends_anew {
            self.send(peer, Parcel::Shutdown);
        }
    }

    pub(super) fn established(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(&id).filter(|end| !end.established) else { return };
        end.established = true;
        let up = Input::Up {
            assoc: end.assoc,
            channel: end.channel,
            remote: vec![end.remote],
            local: vec![end.local.ip()],
            streams: 16,
        };
        let host = end.host;
        self.tell(host, up);
        self.unstick(id);
        self.watch_later(id);
    }

    fn arrive(&mut self, id: EndId, parcel: Parcel) {
        if let Parcel::Abort(cause) = parcel {
            return self.down(id, DownReason::PeerAborted(cause));
        }
        self.established(id);
        let Some(end) = self.ends.get_mut(&id) else { return };
        end.unread.push_back(parcel);
        self.read(id);
    }

    pub(super) fn read(&mut self, id: EndId) {
        while let Some(end) = self.ends.get_mut(&id).filter(|end| end.reading)
            && self.hosts.get(&end.host).is_some_and(|host| host.stopped.is_none())
            && let Some(parcel) = end.unread.pop_front()
        {
            let (host, assoc, peer) = (end.host, end.assoc, end.peer);
            match parcel {
                Parcel::Message { stream, ppid, unordered, bytes } => {
                    self.carried += 1;
                    self.taken(peer, bytes.len());
                    self.tell(host, Input::Message { assoc, stream, ppid, unordered, bytes });
                }
                Parcel::Shutdown => {
                    self.tell(host, Input::PeerShutdown { assoc });
                    let back = self.delay();
                    self.at(self.now + back, Happening::Gone(id, DownReason::Shutdown));
                    if let Some(peer) = peer {
                        self.at(self.now + back, Happening::Gone(peer, DownReason::Shutdown));
                    }
                }
                Parcel::Abort(cause) => self.down(id, DownReason::PeerAborted(cause)),
            }
        }
    }

    /// The peer has read so many bytes of this end.
    fn taken(&mut self, id: Option<EndId>, bytes: usize) {
        let Some(end) = id.and_then(|id| self.ends.get_mut(&id)) else { return };
        end.queued = end.queued.saturating_sub(bytes);
        if end.full && end.queued <= self.manners.send_queue / 2 {
            end.full = false;
            let (host, assoc) = (end.host, end.assoc);
            self.tell(host, Input::Writable { assoc });
        }
    }

    fn watch_later(&mut self, id: EndId) {
        let after = self.rng.random_range(WATCH..=WATCH + WATCH / 2);
        self.at(self.now + after, Happening::Watch(id));
    }

    fn watch(&mut self, id: EndId) {
        let Some(end) = self.ends.get(&id) else { return };
        match self.path(end) {
            Path::Good => {
                if let Some(end) = self.ends.get_mut(&id) {
                    end.silent = 0;
                }
                self.unstick(id);
            }
            Path::Refused(why) => return self.down(id, DownReason::PeerAborted(why.into())),
            Path::Silent => {
                let Some(end) = self.ends.get_mut(&id) else { return };
                end.silent += 1;
                if end.silent > PATIENCE {
                    if let Some(end) = self.remove(id) {
                        self.tell(end.host, Input::Down { assoc: end.assoc, why: DownReason::Unreachable });
                        self.abort_peer(&end, "too many retransmissions".into());
                    }
                    return;
                }
            }
        }
        self.watch_later(id);
    }

    pub(super) fn unstick(&mut self, id: EndId) {
        let Some(end) = self.ends.get_mut(&id) else { return };
        for parcel in std::mem::take(&mut end.stuck) {
            self.send(id, parcel);
        }
    }
}
