//! A table stopped by an error that waiting does not surely mend: said so, and tried again after a long pause or at
//! once when the configuration is read again, while the other tables go on. Never: what a table does when it runs.

use super::Context;
use crate::clock::now;
use crate::config::{Config, Retry};
use crate::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strata_core::time::format_timestamptz;
use tokio::sync::watch;

/// How often one table was stopped in a row.
#[derive(Debug, Default)]
pub(crate) struct Halts {
    count: u32,
    longest: Duration,
}

impl Halts {
    /// How long a table rests that ran for `ran` before it failed: twice as long after each further failure, but
    /// anew when it had run for longer than it ever rested.
    fn pause(&mut self, settings: &Retry, ran: Duration, jitter: f64) -> Duration {
        if ran > self.longest {
            *self = Self::default();
        }
        let whole = settings.first_ms.saturating_mul(1 << self.count.min(32)).min(settings.last_ms);
        self.count += 1;
        self.longest = Duration::from_millis(whole);
        // Between half of it and all of it, so that workers do not come back together.
        self.longest.mul_f64(1.0 - jitter / 2.0)
    }

    /// Rests a table that failed. The error comes back where there is no further try: in a process that ends when it
    /// has caught up, where trying again is switched off, or when the end is asked for meanwhile.
    pub(crate) async fn rest(
        &mut self,
        context: &Context,
        relation: &str,
        error: Error,
        began: Instant,
        configs: &mut watch::Receiver<Arc<Config>>,
    ) -> Result<(), Error> {
        let settings = &context.config.retry;
        if settings.first_ms == 0 || context.options.until_caught_up || context.stop.is_stopped() {
            return Err(error);
        }
        let pause = self.pause(settings, began.elapsed(), fastrand::f64());
        let pause_us = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let next_try = now().saturating_add(pause_us);
        tracing::error!(
            error = %error,
            code = error.code,
            relation,
            next_try = format_timestamptz(next_try),
            "stopped by an error; the other tables go on"
        );
        context.metrics.table_stopped(relation, Some(next_try));
        record(context, relation, &error, next_try).await;
        configs.mark_unchanged();
        let read_again = async {
            // An error means that nobody reads it again any more.
            if configs.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = context.stop.stopped() => return Err(error),
            () = tokio::time::sleep(pause) => {}
            () = read_again => {}
        }
        tracing::info!(relation, "trying the stopped table again");
        context.metrics.table_tried_again(relation);
        Ok(())
    }
}

/// Tells the database, for those who ask it. A role that may not even do that has said so in the log.
async fn record(context: &Context, relation: &str, error: &Error, next_try: i64) {
    let told = async {
        let session = context.control.session().await?;
        session.record_stop(relation, &context.worker, &error.message, next_try).await
    };
    if let Err(error) = told.await {
        tracing::warn!(error = %error, relation, "the database was not told of a stopped table");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_bound_and_begin_anew_after_a_long_run() {
        let settings = Retry { first_ms: 100, last_ms: 500 };
        let ms = Duration::from_millis;
        let mut halts = Halts::default();
        let rests: Vec<_> = (0..5).map(|_| halts.pause(&settings, Duration::ZERO, 0.0)).collect();
        assert_eq!(rests, [ms(100), ms(200), ms(400), ms(500), ms(500)]);
        assert_eq!(halts.pause(&settings, ms(500), 1.0), ms(250), "half of it at least");
        assert_eq!(halts.pause(&settings, ms(501), 0.0), ms(100));
    }
}
