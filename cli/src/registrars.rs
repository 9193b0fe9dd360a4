//! `rserpool registrar [list] | show ID`.

use crate::output::{Columns, or_dash, seconds};
use crate::{Context, Failure, element};
use clap::Subcommand;
use registrar::admin::api::{Registrar, RegistrarList};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the registrars of the scope (default)
    List,
    /// Show one registrar
    Show {
        /// Its identifier, in hex
        #[arg(value_parser = element::parse_id)]
        id: u32,
    },
}

pub(crate) async fn run(verb: Option<Verb>, context: &Context) -> Result<(), Failure> {
    let mut list = context.admin()?.registrars().await?;
    match verb.unwrap_or(Verb::List) {
        Verb::List => Ok(context.screen.show(&list, table, names)?),
        Verb::Show { id } => {
            let id = format!("0x{id:08x}");
            list.registrars.retain(|registrar| registrar.id == id);
            let registrar = list.registrars.first().ok_or_else(|| {
                Failure::NotFound(format!("no registrar {id} is known: see `rserpool registrar`"))
            })?;
            Ok(context.screen.show(registrar, details, |registrar| vec![registrar.id.clone()])?)
        }
    }
}

fn names(list: &RegistrarList) -> Vec<String> {
    list.registrars.iter().map(|registrar| registrar.id.clone()).collect()
}

fn table(list: &RegistrarList, columns: Columns) -> String {
    let header =
        ["ID", "STATE", "ELEMENTS", "LAST HEARD", "ENRP ADDRESS", "CONNECTED", "CHECKSUM", "ANNOUNCED"];
    let rows = list.registrars.iter().map(|registrar| {
        vec![
            registrar.id.clone(),
            registrar.state.clone(),
            registrar.owned_elements.to_string(),
            last_heard(registrar),
            registrar.addresses.join(","),
            connected(registrar),
            registrar.checksum.clone(),
            or_dash(registrar.announced_checksum.clone()),
        ]
    });
    columns.table(&header, 5, rows)
}

fn details(registrar: &Registrar, columns: Columns) -> String {
    columns.properties(&[
        ("registrar", registrar.id.clone()),
        ("state", registrar.state.clone()),
        ("ENRP", registrar.addresses.join(",")),
        ("connected", connected(registrar)),
        ("last heard", last_heard(registrar)),
        ("elements", registrar.owned_elements.to_string()),
        ("checksum", registrar.checksum.clone()),
        ("announced", or_dash(registrar.announced_checksum.clone())),
    ])
}

fn last_heard(registrar: &Registrar) -> String {
    match registrar.last_heard_seconds {
        Some(age) => format!("{} ago", seconds(age)),
        None => "this one".into(),
    }
}

fn connected(registrar: &Registrar) -> String {
    or_dash(registrar.connected.map(|connected| if connected { "yes" } else { "no" }.into()))
}
