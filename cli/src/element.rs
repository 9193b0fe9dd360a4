//! `rserpool element [list] | show POOL ID`.

use crate::admin::Client;
use crate::output::{Columns, or_dash, policy, seconds, transport};
use crate::{Context, Failure, pool_argument};
use clap::Subcommand;
use params::PoolHandle;
use registrar::admin::api::{Element, Pool};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the elements of all pools (default)
    List,
    /// Show one element
    Show {
        /// Its pool: text with \xNN escapes, or hex:…
        #[arg(value_parser = pool_argument::parse)]
        pool: PoolHandle,
        /// Its identifier, in hex
        #[arg(value_parser = parse_id)]
        id: u32,
    },
}

/// Reads an identifier of an element or a registrar: hex, as the tables print it.
pub(crate) fn parse_id(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)
        .map_err(|_| "write up to eight hex digits, as in 0x0000002a".into())
}

#[derive(Serialize)]
struct List {
    elements: Vec<Listed>,
}

/// An element with the name of its pool.
#[derive(Serialize)]
struct Listed {
    pool: String,
    pool_hex: String,
    #[serde(flatten)]
    element: Element,
}

pub(crate) async fn run(verb: Option<Verb>, context: &Context) -> Result<(), Failure> {
    let admin = context.admin()?;
    match verb.unwrap_or(Verb::List) {
        Verb::List => {
            let mut list = List { elements: Vec::new() };
            for pool in admin.pools().await? {
                list.elements.extend(elements_of(&admin, pool).await?);
            }
            Ok(context.screen.show(&list, table, names)?)
        }
        Verb::Show { pool, id } => {
            let element = admin.element(&pool, id).await?;
            Ok(context.screen.show(&element, details, |element| vec![element.id.clone()])?)
        }
    }
}

/// The elements of a pool; none if it is gone since it was listed.
async fn elements_of(admin: &Client, pool: Pool) -> Result<Vec<Listed>, Failure> {
    let handle = hex::decode(&pool.handle_hex).map(PoolHandle::new).map_err(anyhow::Error::from)?;
    let detail = match admin.pool(&handle).await {
        Err(Failure::NotFound(_)) => return Ok(Vec::new()),
        detail => detail?,
    };
    let listed = |element| Listed { pool: pool.handle.clone(), pool_hex: pool.handle_hex.clone(), element };
    Ok(detail.members.into_iter().map(listed).collect())
}

fn names(list: &List) -> Vec<String> {
    list.elements.iter().map(|listed| format!("{} {}", listed.pool, listed.element.id)).collect()
}

fn table(list: &List, columns: Columns) -> String {
    let rows = list.elements.iter().map(|listed| {
        let mut row = vec![listed.pool.clone()];
        row.extend(cells(&listed.element));
        row
    });
    let mut header = vec!["POOL"];
    header.extend(HEADER);
    columns.table(&header, 1 + ALWAYS, rows)
}

/// The columns of an element, here and in `pool show`.
pub(crate) const HEADER: [&str; 9] =
    ["ID", "HOME", "STATE", "POLICY", "TRANSPORT", "ASAP", "LIFE", "EXPIRES IN", "REPORTS"];
/// How many of them are shown without `--wide`.
pub(crate) const ALWAYS: usize = 5;

/// What stands in them.
pub(crate) fn cells(element: &Element) -> Vec<String> {
    vec![
        element.id.clone(),
        element.home.clone(),
        state(element).into(),
        policy(&element.policy),
        transport(&element.user_transport),
        or_dash(element.asap_transport.as_ref().map(|asap| asap.addresses.join(","))),
        or_dash(element.life_seconds.map(seconds)),
        or_dash(element.expires_in_seconds.map(seconds)),
        element.reports.to_string(),
    ]
}

fn state(element: &Element) -> &'static str {
    match (element.silent_seconds, element.suspect) {
        (Some(_), _) => "silent",
        (None, true) => "suspect",
        (None, false) => "ok",
    }
}

fn silent_for(since: f64) -> String {
    format!("silent for {}", seconds(since))
}

fn details(element: &Element, columns: Columns) -> String {
    columns.properties(&[
        ("element", element.id.clone()),
        ("home", element.home.clone()),
        ("state", element.silent_seconds.map_or_else(|| state(element).into(), silent_for)),
        ("policy", policy(&element.policy)),
        ("transport", transport(&element.user_transport)),
        ("ASAP", or_dash(element.asap_transport.as_ref().map(transport))),
        ("life", element.life_seconds.map_or_else(|| "for ever".into(), seconds)),
        ("expires in", or_dash(element.expires_in_seconds.map(seconds))),
        ("reports", element.reports.to_string()),
    ])
}
