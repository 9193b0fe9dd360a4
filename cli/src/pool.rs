//! `rserpool pool [list] | show POOL | resolve POOL`.

use crate::output::{Columns, policy_name, seconds};
use crate::{Context, Failure, element, pool_argument, resolve};
use clap::Subcommand;
use params::PoolHandle;
use registrar::admin::api::{Pool, PoolDetail};
use serde::Serialize;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List the pools (default)
    List,
    /// Show a pool with its elements
    Show {
        /// Its handle: text with \xNN escapes, or hex:…
        #[arg(value_parser = pool_argument::parse)]
        pool: PoolHandle,
    },
    /// Ask a registrar for servers of a pool, as a client does; works against any registrar
    Resolve(resolve::Arguments),
}

#[derive(Serialize)]
struct List {
    pools: Vec<Pool>,
}

pub(crate) async fn run(verb: Option<Verb>, context: &Context) -> Result<(), Failure> {
    match verb.unwrap_or(Verb::List) {
        Verb::List => {
            let list = List { pools: context.admin()?.pools().await? };
            Ok(context.screen.show(&list, table, names)?)
        }
        Verb::Show { pool } => {
            let detail = context.admin()?.pool(&pool).await?;
            Ok(context.screen.show(&detail, details, members)?)
        }
        Verb::Resolve(arguments) => resolve::run(arguments, context).await,
    }
}

fn names(list: &List) -> Vec<String> {
    list.pools.iter().map(|pool| pool.handle.clone()).collect()
}

fn table(list: &List, columns: Columns) -> String {
    let rows = list.pools.iter().map(|pool| {
        vec![
            pool.handle.clone(),
            policy_name(&pool.policy),
            pool.elements.to_string(),
            format!("hex:{}", pool.handle_hex),
        ]
    });
    columns.table(&["POOL", "POLICY", "ELEMENTS", "HEX"], 3, rows)
}

fn members(detail: &PoolDetail) -> Vec<String> {
    detail.members.iter().map(|element| element.id.clone()).collect()
}

fn silent(pool: &Pool) -> String {
    match pool.guarded_seconds {
        None => pool.silent.to_string(),
        Some(since) => {
            format!(
                "{}, kept for {}: so many that the network may be the reason",
                pool.silent,
                seconds(since)
            )
        }
    }
}

fn details(detail: &PoolDetail, columns: Columns) -> String {
    let head = columns.properties(&[
        ("pool", detail.pool.handle.clone()),
        ("policy", policy_name(&detail.pool.policy)),
        ("elements", detail.pool.elements.to_string()),
        ("silent", silent(&detail.pool)),
        ("subscribers", detail.pool.subscribers.to_string()),
    ]);
    let rows = detail.members.iter().map(element::cells);
    format!("{head}\n{}", columns.table(&element::HEADER, element::ALWAYS, rows))
}
