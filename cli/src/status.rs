//! `rserpool status`.

use crate::output::{Columns, seconds};
use crate::{Context, Failure};
use registrar::admin::api::Status;

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status = context.admin()?.status().await?;
    Ok(context.screen.show(&status, table, |status| vec![status.state.clone()])?)
}

fn silent(status: &Status) -> String {
    match status.guarded_pools {
        0 => status.silent_elements.to_string(),
        pools => format!("{}, kept in {pools} pools: see `rserpool pool show`", status.silent_elements),
    }
}

fn table(status: &Status, columns: Columns) -> String {
    columns.properties(&[
        ("registrar", status.id.clone()),
        ("state", status.state.clone()),
        ("uptime", seconds(status.uptime_seconds)),
        ("ASAP", status.asap_address.clone()),
        ("ENRP", status.enrp_address.clone()),
        ("pools", status.pools.to_string()),
        ("elements", format!("{}, own {}", status.elements, status.owned_elements)),
        ("silent", silent(status)),
        ("subscriptions", status.subscriptions.to_string()),
        ("peers", status.peers.to_string()),
        ("associations", status.associations.to_string()),
        ("checksum", status.checksum.clone()),
        ("version", status.version.clone()),
    ])
}
