//! The requests of the admin API. Each asks the registrar's thread for one bounded slice and formats it here,
//! on the caller's runtime.

use super::{api, view};
use crate::machine::Machine;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use net::Stopped;
use params::{PeIdentifier, PoolHandle};
use percent_encoding::percent_decode_str;
use proto::registrar::{ElementStatus, PoolSummary};

/// The API of one registrar.
pub(crate) fn router(machine: Machine) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/pools", get(pools))
        .route("/v1/pools/{handle}", get(pool))
        .route("/v1/pools/{handle}/elements/{id}", get(element))
        .route("/v1/registrars", get(registrars))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(local_host_only))
        .with_state(machine)
}

/// Refuses what a web page could make a browser on this host ask: it names its own host (DNS rebinding).
async fn local_host_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _port)| name));
    match name {
        None | Some("localhost" | "127.0.0.1" | "[::1]") => next.run(request).await,
        Some(other) => Failure::Forbidden(format!("this is localhost, not {other}")).into_response(),
    }
}

type Answer<T> = Result<Json<T>, Failure>;

async fn status(State(machine): State<Machine>) -> Answer<api::Status> {
    let status = machine.call(|registrar, now| registrar.status(now)).await?;
    let mut answer = view::status(status, machine.asap, machine.enrp);
    let endpoints = machine.counters().await?;
    for (name, endpoint) in ["asap", "enrp"].into_iter().zip(endpoints.iter().cycle()) {
        answer.counters.extend(view::sctp_counters(name, &endpoint.backend));
    }
    Ok(Json(answer))
}

async fn pools(State(machine): State<Machine>, uri: Uri) -> Answer<api::PoolPage> {
    let page = Page::of(&uri)?;
    let after = page.after.map(|cursor| handle_from_hex(&cursor)).transpose()?;
    let limit = page.limit;
    let mut pools =
        machine.call(move |registrar, now| registrar.pools(now, after.as_ref(), limit + 1)).await?;
    let next = cut(&mut pools, limit, |pool| view::handle_hex(&pool.handle));
    Ok(Json(api::PoolPage { pools: pools.iter().map(view::pool).collect(), next }))
}

async fn pool(State(machine): State<Machine>, uri: Uri) -> Answer<api::PoolDetail> {
    let page = Page::of(&uri)?;
    let handle = handle_of(&uri)?;
    let after = page.after.map(|cursor| identifier(&cursor)).transpose()?;
    let (pool, mut members) = members(&machine, &handle, after, page.limit + 1).await?;
    let next = cut(&mut members, page.limit, |element| element.id.to_string());
    let members = members.into_iter().map(view::element).collect();
    Ok(Json(api::PoolDetail { pool: view::pool(&pool), members, next }))
}

async fn element(State(machine): State<Machine>, uri: Uri) -> Answer<api::Element> {
    let handle = handle_of(&uri)?;
    let id = identifier(segment(&uri, 5))?;
    let before = id.0.checked_sub(1).map(PeIdentifier);
    let (_, members) = members(&machine, &handle, before, 1).await?;
    let element = members
        .into_iter()
        .find(|element| element.id == id)
        .ok_or_else(|| Failure::NotFound(format!("the pool \"{handle}\" has no element {id}")))?;
    Ok(Json(view::element(element)))
}

async fn registrars(State(machine): State<Machine>) -> Answer<api::RegistrarList> {
    let (status, peers) =
        machine.call(|registrar, now| (registrar.status(now), registrar.peers(now))).await?;
    let mut registrars: Vec<_> = peers.into_iter().map(view::peer).collect();
    registrars.push(view::this_registrar(status, machine.enrp));
    registrars.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Json(api::RegistrarList { registrars }))
}

async fn not_found(uri: Uri) -> Failure {
    Failure::NotFound(format!("there is no {} here: see the documentation of the admin API", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Failure {
    Failure::MethodNotAllowed(format!("{method} {} is not possible: the admin API reads only", uri.path()))
}

/// A pool with at most `count` of its elements, those after `after`.
async fn members(
    machine: &Machine,
    handle: &PoolHandle,
    after: Option<PeIdentifier>,
    count: usize,
) -> Result<(PoolSummary, Vec<ElementStatus>), Failure> {
    let wanted = handle.clone();
    machine
        .call(move |registrar, now| {
            Some((registrar.pool(now, &wanted)?, registrar.elements(now, &wanted, after, count)?))
        })
        .await?
        .ok_or_else(|| Failure::NotFound(format!("there is no pool \"{handle}\"")))
}

/// Cuts a list that was asked for with one entry too many down to a page; the cursor of the next page, if any.
fn cut<T>(entries: &mut Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Option<String> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| more).map(cursor)
}

/// Which part of a list is asked for.
struct Page {
    after: Option<String>,
    limit: usize,
}

impl Page {
    fn of(uri: &Uri) -> Result<Self, Failure> {
        let limit = match parameter(uri, "limit") {
            None => api::DEFAULT_LIMIT,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=api::MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    Failure::BadRequest(format!("limit={text} must be between 1 and {}", api::MAX_LIMIT))
                })?
            }
        };
        Ok(Self { after: parameter(uri, "after").map(str::to_owned), limit })
    }
}

/// A parameter of the query: its value, empty if it has none.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The `n`-th part of the path; `/v1/pools` has 1 and 2.
fn segment(uri: &Uri, n: usize) -> &str {
    uri.path().split('/').nth(n).unwrap_or_default()
}

/// The pool handle in the path. Not axum's `Path`: that is text, a handle is bytes.
fn handle_of(uri: &Uri) -> Result<PoolHandle, Failure> {
    let segment = segment(uri, 3);
    if parameter(uri, "hex").is_some() {
        return handle_from_hex(segment);
    }
    Ok(PoolHandle::new(percent_decode_str(segment).collect::<Vec<u8>>()))
}

fn handle_from_hex(digits: &str) -> Result<PoolHandle, Failure> {
    hex::decode(digits)
        .map(PoolHandle::new)
        .map_err(|error| Failure::BadRequest(format!("{digits:?} is no pool handle in hex: {error}")))
}

fn identifier(text: &str) -> Result<PeIdentifier, Failure> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)
        .map(PeIdentifier)
        .map_err(|_| Failure::BadRequest(format!("{text:?} is no identifier: write up to eight hex digits")))
}

/// Why a request failed.
enum Failure {
    BadRequest(String),
    NotFound(String),
    MethodNotAllowed(String),
    Forbidden(String),
    Stopped,
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::BadRequest(error) => (StatusCode::BAD_REQUEST, error),
            Self::NotFound(error) => (StatusCode::NOT_FOUND, error),
            Self::MethodNotAllowed(error) => (StatusCode::METHOD_NOT_ALLOWED, error),
            Self::Forbidden(error) => (StatusCode::FORBIDDEN, error),
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "the registrar has stopped".into()),
        };
        (status, Json(api::ErrorBody { error })).into_response()
    }
}
