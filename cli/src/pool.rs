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
    let mut silent = pool.silent.to_string();
    if pool.silent_elsewhere > 0 {
        silent += &format!(", and {} to other registrars or of such as do not answer", pool.silent_elsewhere);
    }
    if let Some(since) = pool.guarded_seconds {
        let since = seconds(since);
        silent += &format!(", kept for {since}: so many that the network may be the reason");
    }
    silent
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_elements_are_kept_is_said() {
        let mut pool = Pool {
            handle: "web".into(),
            handle_hex: "776562".into(),
            policy: "round_robin".into(),
            elements: 10,
            silent: 0,
            silent_elsewhere: 0,
            guarded_seconds: None,
            subscribers: 0,
        };
        assert_eq!(silent(&pool), "0");
        (pool.silent, pool.silent_elsewhere) = (1, 3);
        assert_eq!(silent(&pool), "1, and 3 to other registrars or of such as do not answer");
        pool.guarded_seconds = Some(12.0);
        let kept = format!("kept for {}: so many that the network may be the reason", seconds(12.0));
        assert_eq!(
            silent(&pool),
            format!("1, and 3 to other registrars or of such as do not answer, {kept}")
        );
    }
}
