//! Connections: how many, how long each may take to say what it wants, and how they end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::Limits;
use crate::rate::Source;

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
    let places = Places::new(limits);
    let open = TaskTracker::new();
    let stop = CancellationToken::new();
    let builder = connection_builder(limits);
    let life = Life {
        age_max: Duration::from_millis(limits.http_connection_ms_max),
        end_time_max: Duration::from_millis(limits.http_request_ms_max),
    };
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
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let stop = stop.clone();
        open.spawn(async move {
            if let Err(error) = life.run(connection, &stop).await {
                tracing::debug!(error = &*error, "an HTTP connection failed");
            }
            drop(place);
        });
    }
    drop(listener);
    stop.cancel();
    open.close();
    if tokio::time::timeout(DRAIN_TIME_MAX, open.wait()).await.is_err() {
        tracing::warn!("HTTP requests were cut off at the end");
    }
}

/// How long a connection lasts, whatever its client does or does not read.
#[derive(Clone, Copy)]
struct Life {
    /// Then it takes no further request.
    age_max: Duration,
    /// So long the current answer may still take; then the connection is cut off.
    end_time_max: Duration,
}

impl Life {
    async fn run<S>(
        self,
        connection: http1::Connection<TokioIo<TcpStream>, S>,
        stop: &CancellationToken,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: hyper::service::HttpService<Incoming, ResBody = Body>,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        tokio::pin!(connection);
        tokio::select! {
            ended = &mut connection => return Ok(ended?),
            () = tokio::time::sleep(self.age_max) => {}
            () = stop.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        Ok(tokio::time::timeout(self.end_time_max, connection).await??)
    }
}

/// Room for connections: so many in all, and so many of one source, so that nobody takes all the places.
#[derive(Clone)]
struct Places {
    all: Arc<Semaphore>,
    /// Only sources that have a connection are in it: no more entries than places.
    taken: Arc<Mutex<HashMap<Source, usize>>>,
    per_source_max: usize,
}

/// A place taken; dropped, it is free again.
struct Place {
    taken: Arc<Mutex<HashMap<Source, usize>>>,
    source: Source,
    _one_of_all: OwnedSemaphorePermit,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.http_connections_max));
        Self { all, taken: Arc::default(), per_source_max: limits.http_connections_per_source_max }
    }

    /// Makes a place one of `source`; gives it back if that source has enough.
    fn take(&self, one_of_all: OwnedSemaphorePermit, source: Source) -> Result<Place, OwnedSemaphorePermit> {
        let mut taken = lock(&self.taken);
        let of_source = taken.entry(source).or_default();
        if *of_source >= self.per_source_max {
            return Err(one_of_all);
        }
        *of_source += 1;
        Ok(Place { taken: Arc::clone(&self.taken), source, _one_of_all: one_of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(of_source) = taken.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

/// Counters: a panic in between leaves nothing that must not be used.
fn lock(taken: &Mutex<HashMap<Source, usize>>) -> MutexGuard<'_, HashMap<Source, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The next connection, once there is a place for it: more of them wait in the kernel's backlog. One of a source that has enough is hung up on.
async fn accept(listener: &TcpListener, places: &Places) -> (TcpStream, SocketAddr, Place) {
    let mut one_of_all = Arc::clone(&places.all).acquire_owned().await.expect("nobody closes the places");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => match places.take(one_of_all, Source::of(address.ip())) {
                Ok(place) => return (stream, address, place),
                Err(given_back) => one_of_all = given_back,
            },
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
