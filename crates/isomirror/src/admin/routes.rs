//! What each path answers.
//!
//! Owns paths, status codes and content types. Never writes HTML (`page`) or sockets (`server`).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder, proto::MetricFamily};

use super::{StatusSource, page};

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// The page needs its own style and nothing else from anywhere.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

#[derive(Clone)]
struct Shared {
    registries: Vec<Registry>,
    status: StatusSource,
}

/// All routes; other paths are 404, other methods 405.
pub fn router(registries: Vec<Registry>, status: StatusSource) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status_json))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(Shared { registries, status })
}

async fn index(State(shared): State<Shared>) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(page::render(&(shared.status)()))).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match TextEncoder::new().encode_to_string(&gather(&shared.registries)) {
        Ok(body) => ([(header::CONTENT_TYPE, METRICS)], body).into_response(),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to encode the metrics: {error}\n"))
        }
    }
}

/// The metrics of all links: those of one name together, as they are of one family.
fn gather(registries: &[Registry]) -> Vec<MetricFamily> {
    let mut all: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for mut family in registries.iter().flat_map(Registry::gather) {
        match all.get_mut(family.name()) {
            Some(known) => known.mut_metric().extend(family.take_metric()),
            None => drop(all.insert(family.name().to_owned(), family)),
        }
    }
    all.into_values().collect()
}

async fn healthz() -> Response {
    text(StatusCode::OK, "ok\n".to_owned())
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let status = (shared.status)();
    if status.ready {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    let mut reasons = status.not_ready;
    if reasons.is_empty() {
        reasons.push(format!("the link is {}", status.phase));
    }
    // One reason a line, whatever a broker's error message holds.
    let lines: String = reasons.iter().map(|reason| reason.replace(['\r', '\n'], " ") + "\n").collect();
    text(StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn status_json(State(shared): State<Shared>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json((shared.status)())).into_response()
}

async fn not_found() -> Response {
    let known = "no such page; there are /, /status, /metrics, /healthz and /readyz\n";
    text(StatusCode::NOT_FOUND, known.to_owned())
}

async fn not_allowed() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "this server only reads: use GET\n".to_owned())
}

fn text(code: StatusCode, body: String) -> Response {
    (code, [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
