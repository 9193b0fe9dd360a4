//! What the stories begin with: a scope, and clients at work in it.

use crate::load::{self, Load};
use crate::scope::Scope;
use rand_chacha::ChaCha12Rng;

/// How large it is.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Setting {
    #[arg(long, default_value_t = 10)]
    servers: usize,
    #[arg(long, default_value_t = 2)]
    registrars: u16,
    #[command(flatten)]
    pub(crate) load: load::Options,
}

impl Setting {
    /// All run, and each client has done something.
    pub(crate) async fn begin(&self, rng: &mut ChaCha12Rng) -> anyhow::Result<(Scope, Load)> {
        let scope = Scope::start(self.registrars, self.servers, rng).await?;
        let load = Load::start(&self.load, &scope.registrars());
        load.pass(10 * self.load.clients).await?;
        Ok((scope, load))
    }
}
