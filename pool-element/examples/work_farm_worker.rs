//! A worker of a farm: takes jobs that last, and can be killed in the middle of them.
//!
//! What it teaches: a cookie is a checkpoint. After each part of its work the worker gives the client what it would need to go
//! on from there. When it dies the client brings that to another worker, which repeats one part of the work at most,
//! and counts nothing twice. A worker that is stopped in order (Ctrl-C) hands its jobs over by itself.
//!
//! ```console
//! $ cargo run -p rserpool-registrar &
//! $ cargo run -p rserpool-pool-element --example work_farm_worker -- 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-element --example work_farm_worker -- 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-user --example work_farm -- 127.0.0.1:3863
//! ```

#[path = "work_farm/job.rs"]
mod job;

use job::{Checkpoint, Job};
use rserpool_pool_element::{PoolElement, Session};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let mut element = PoolElement::builder("work-farm").registrars(registrars).register().await?;
    println!("working as {} (process {})", element.id(), std::process::id());

    loop {
        let session = tokio::select! {
            Some(session) = element.accept() => session,
            _ = tokio::signal::ctrl_c() => break,
        };
        tokio::spawn(async move {
            if let Err(error) = work(session).await {
                eprintln!("session ended: {error:#}");
            }
        });
    }
    element.drain().await?; // the sessions hear of it, and end
    Ok(())
}

/// Works on the job of a session, from where a former worker has left it.
async fn work(mut session: Session) -> anyhow::Result<()> {
    while let Some(job) = session.recv().await? {
        let job: Job = std::str::from_utf8(&job)?.parse()?;
        let mut checkpoint = match session.cookie() {
            Some(cookie) => std::str::from_utf8(cookie)?.parse()?,
            None => job.begin(),
        };
        report(&session, checkpoint).await?;
        while !job.is_done(checkpoint) {
            let part = tokio::task::spawn_blocking(move || job.work(checkpoint));
            checkpoint = tokio::select! {
                checkpoint = part => checkpoint?,
                () = session.draining() => return Ok(session.close().await?),
            };
            session.set_cookie(checkpoint.to_string()).await?;
            report(&session, checkpoint).await?;
        }
    }
    Ok(())
}

/// Tells the client how far its job has come.
async fn report(session: &Session, checkpoint: Checkpoint) -> anyhow::Result<()> {
    Ok(session.send(checkpoint.to_string()).await?)
}
