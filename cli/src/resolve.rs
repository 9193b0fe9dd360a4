//! `rserpool pool resolve POOL`: speaks ASAP (RFC 5352 §3.3), so it works against any registrar.

use crate::output::{Columns, policy, transport};
use crate::{Context, Failure, pool_argument};
use clap::Args;
use endpoint::{AsapEndpoint, Config, Discovery, Multicast, ResolveError, ResolveOptions};
use params::PoolHandle;
use registrar::admin::api;
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its handle: text with \xNN escapes, or hex:…
    #[arg(value_parser = pool_argument::parse)]
    pool: PoolHandle,

    /// Ask for this many servers; what comes is the registrar's decision
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    items: Option<u32>,
}

/// The answer of a registrar.
#[derive(Serialize)]
struct Resolved {
    handle: String,
    handle_hex: String,
    policy: api::Policy,
    /// The one to be tried first in front.
    elements: Vec<Server>,
}

#[derive(Serialize)]
struct Server {
    id: String,
    policy: api::Policy,
    user_transport: api::Transport,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let resolved = resolve(arguments, context).await?;
    Ok(context.screen.show(&resolved, table, names)?)
}

async fn resolve(arguments: Arguments, context: &Context) -> Result<Resolved, Failure> {
    let Arguments { pool, items } = arguments;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 3863));
    let registrar = context.registrar.or((!context.multicast).then_some(local));
    let discovery = match registrar {
        Some(registrar) => Discovery::from([registrar]),
        None => Discovery::new().multicast(Multicast::default()),
    };
    // One question, to that registrar.
    let mut config = Config::new(discovery.registrar_pool(false));
    config.encap = context.encap;
    config.transport = context.transport;
    let endpoint = AsapEndpoint::start(config).map_err(anyhow::Error::from)?;
    let options = ResolveOptions::new().items(items).uncached(true);
    let answer = endpoint.resolve(pool.clone(), options).await;
    endpoint.close().await;
    let resolution = answer.map_err(|error| match error {
        ResolveError::UnknownPool(_) => Failure::NotFound(match registrar {
            Some(registrar) => format!("{error} at the registrar {registrar}"),
            None => error.to_string(),
        }),
        ResolveError::NoRegistrar(_) => Failure::Unreachable(match registrar {
            Some(registrar) => format!(
                "no registrar answers at {registrar}: start one there, or choose another with --registrar"
            ),
            None => "no registrar announces itself: start one with --multicast, or name one with --registrar"
                .into(),
        }),
        other => Failure::Other(other.into()),
    })?;
    let server = |element: &params::PoolElement| Server {
        id: element.id.to_string(),
        policy: (&element.policy).into(),
        user_transport: (&element.user_transport).into(),
    };
    Ok(Resolved {
        handle: pool.to_string(),
        handle_hex: hex::encode(pool.as_bytes()),
        policy: (&resolution.policy).into(),
        elements: resolution.elements.iter().map(server).collect(),
    })
}

fn names(resolved: &Resolved) -> Vec<String> {
    resolved.elements.iter().map(|server| server.user_transport.addresses.join(",")).collect()
}

fn table(resolved: &Resolved, columns: Columns) -> String {
    let rows = resolved
        .elements
        .iter()
        .map(|server| vec![server.id.clone(), policy(&server.policy), transport(&server.user_transport)]);
    columns.table(&["ID", "POLICY", "TRANSPORT"], 3, rows)
}
