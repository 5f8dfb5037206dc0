//! The HTTP server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use sentinel_proto::MasterName;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::control::ControlError;
use crate::server::{Context, same_secret};

use super::model::{Event, Problem};
use super::{health, metrics, snapshot};

/// Events answered without `limit`.
const DEFAULT_EVENTS: usize = 100;

/// What the handlers share.
#[derive(Clone)]
pub struct Admin {
    /// The same context as the RESP server's.
    pub context: Arc<Context>,
    /// `admin-token`; `None` = no changes.
    pub token: Option<String>,
    /// Metrics recorded through the `metrics` crate, if a recorder is installed.
    pub recorded: Option<PrometheusHandle>,
}

/// An error as JSON.
struct Failure(StatusCode, Problem);

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self(
            status,
            Problem {
                error: error.into(),
                remedy: remedy.into(),
            },
        )
    }

    fn no_such_master(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("no master is called '{name}'"),
            "GET /v1/masters lists the names",
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// Opens the listener.
///
/// # Errors
/// Text for the log.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!(
            "Could not open the admin port {address}: {} (set admin-port, or admin-port 0 to do without)",
            crate::config::os_text(&error)
        )
    })
}

/// Serves until the context is stopped.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let stop = admin.context.stop.clone();
    let server = axum::serve(listener, router(admin)).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = server.await {
        tracing::warn!("The admin server ended: {error}");
    }
}

/// All routes.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/masters", get(masters))
        .route("/v1/masters/{name}", get(master))
        .route("/v1/masters/{name}/failover", post(failover))
        .route("/v1/masters/{name}/reset", post(reset))
        .route("/v1/raft", get(raft))
        .route("/v1/events", get(events))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(admin)
}

async fn status(State(admin): State<Admin>) -> Response {
    Json(snapshot::status(&admin.context)).into_response()
}

async fn masters(State(admin): State<Admin>) -> Response {
    Json(snapshot::masters(&snapshot::reader(&admin.context))).into_response()
}

async fn master(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    match snapshot::master(&snapshot::reader(&admin.context), &name) {
        Some(master) => Json(master).into_response(),
        None => Failure::no_such_master(&name).into_response(),
    }
}

async fn raft(State(admin): State<Admin>) -> Response {
    Json(snapshot::raft(&admin.context)).into_response()
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn events(State(admin): State<Admin>, Query(limit): Query<Limit>) -> Response {
    let recent = admin
        .context
        .hub
        .recent(limit.limit.unwrap_or(DEFAULT_EVENTS))
        .await;
    let events: Vec<Event> = recent
        .iter()
        .map(|published| Event {
            at: published.at.0,
            name: published.event.name.as_str().to_owned(),
            payload: published.event.payload.clone(),
            level: published.event.level.name().to_owned(),
        })
        .collect();
    Json(events).into_response()
}

async fn healthz() -> Response {
    Json(health::answer(Vec::new())).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = health::not_ready(&snapshot::reader(&admin.context));
    let status = if reasons.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health::answer(reasons))).into_response()
}

async fn prometheus(State(admin): State<Admin>) -> Response {
    let mut page = metrics::page(&admin.context, &snapshot::reader(&admin.context));
    if let Some(recorded) = &admin.recorded {
        recorded.run_upkeep();
        page.push_str(&recorded.render());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

async fn failover(State(admin): State<Admin>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let name = match allowed(&admin, &name, &headers) {
        Ok(name) => name,
        Err(failure) => return failure.into_response(),
    };
    changed(admin.context.control.failover(name, false).await)
}

async fn reset(State(admin): State<Admin>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let name = match allowed(&admin, &name, &headers) {
        Ok(name) => name,
        Err(failure) => return failure.into_response(),
    };
    changed(admin.context.control.reset(vec![name]).await)
}

/// Checks the token, then the name.
fn allowed(admin: &Admin, name: &str, headers: &HeaderMap) -> Result<MasterName, Failure> {
    let send_it = "send it as 'Authorization: Bearer <admin-token>'";
    let Some(token) = &admin.token else {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "changes over HTTP are refused: no admin-token is set",
            format!("set admin-token in the configuration file and {send_it}"),
        ));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !given.is_some_and(|given| same_secret(token.as_bytes(), given.as_bytes())) {
        return Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "the token is missing or wrong",
            send_it,
        ));
    }
    let state = admin.context.view.state.load();
    MasterName::new(name)
        .ok()
        .filter(|name| state.groups.contains_key(name))
        .ok_or_else(|| Failure::no_such_master(name))
}

fn changed(result: Result<(), ControlError>) -> Response {
    let Err(error) = result else {
        return Json(health::answer(Vec::new())).into_response();
    };
    let (status, remedy) = match &error {
        ControlError::Rejected(_) => (
            StatusCode::CONFLICT,
            "the state has changed: look at GET /v1/masters/{name} and try again if it still applies",
        ),
        ControlError::InProgress => (StatusCode::CONFLICT, "wait for the open plan to end"),
        ControlError::NoGoodReplica => (
            StatusCode::CONFLICT,
            "GET /v1/masters/{name} shows why each replica is refused",
        ),
        ControlError::NoMajority(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "bring back a majority of the sentinels: GET /v1/status shows who is missing",
        ),
        ControlError::Unknown(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            "it may or may not have been done: look before you repeat it",
        ),
    };
    Failure::new(status, error.to_string(), remedy).into_response()
}

async fn unknown() -> Response {
    Failure::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path",
        "try /v1/status, /v1/masters, /v1/raft, /v1/events, /healthz, /readyz or /metrics",
    )
    .into_response()
}

async fn wrong_method() -> Response {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method",
        "reads are GET, changes are POST",
    )
    .into_response()
}
