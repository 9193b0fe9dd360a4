//! `rserpool status`.

use crate::output::{Columns, seconds};
use crate::{Context, Failure};
use registrar::admin::api::Status;

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let status = context.admin()?.status().await?;
    Ok(context.screen.show(&status, table, |status| vec![status.state.clone()])?)
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
        ("peers", status.peers.to_string()),
        ("associations", status.associations.to_string()),
        ("checksum", status.checksum.clone()),
        ("version", status.version.clone()),
    ])
}
