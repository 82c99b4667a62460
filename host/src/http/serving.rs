//! Connections: how many, how long each may take to say what it wants, and how they end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use crate::config::Limits;

/// How long open requests may take to end once the host stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(3);
/// Pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of one request's head, at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of one request, at most.
const HEADERS_MAX: usize = 64;

/// Serves `router` on `listener` until `shutdown` is done, then lets open requests end within [`DRAIN_TIME_MAX`].
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(limits.http_connections_max));
    let open = GracefulShutdown::new();
    let builder = connection_builder(limits);
    tokio::pin!(shutdown);
    loop {
        let (stream, address, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let service = {
            let router = router.clone();
            service_fn(move |request| answer(router.clone(), address, request))
        };
        let connection = open.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "an HTTP connection failed");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIME_MAX, open.shutdown()).await.is_err() {
        tracing::warn!("HTTP requests were cut off at the end");
    }
}

/// Without a timer hyper ignores its own deadlines, and a client that never ends its headers stays forever.
fn connection_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.http_header_ms_max))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
}

/// The next connection, once there is a place for it: more of them wait in the kernel's backlog.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes the places");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, place),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "HTTP cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(router: Router, address: SocketAddr, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(address));
    router.oneshot(request).await
}
