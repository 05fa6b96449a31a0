//! `ralphton policy`: a checkpoint alone — what it is, what it makes of given inputs, its certificate.

use super::Ending;
use super::cli::say;
use crate::policy::{L1Mean, Policy, RunOptions, StepRecipe, run_file};
use anyhow::bail;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    pub action: PolicyAction,
}

#[derive(Debug, Subcommand)]
pub enum PolicyAction {
    /// Say what a checkpoint is, and whether it may drive
    Show {
        /// Checkpoint folder, ours or LeRobot's
        #[arg(value_name = "CHECKPOINT")]
        checkpoint: PathBuf,
    },
    /// Run a checkpoint on the inputs of a file and write every output, to compare with another implementation
    ///
    /// The file is JSON: {"space": "normalized" | "raw", "inputs": {NAME: {"shape": […], "data": […]}}}. Normalized
    /// numbers go to the network as they are; raw ones (images in [0, 1], NCHW) through the checkpoint's normalisation,
    /// and actions come back in their own units, not clamped. With "action", "action_is_pad" and (for a variational
    /// encoder) "latent_eps" among the inputs, losses, gradient norms and the losses of optimiser steps are written too;
    /// dropout is off. With "ensemble": {"coeff", "chunks"} beside the inputs or in given outputs, what temporal ensembling
    /// makes of these chunks is written as well. Other given outputs are left aside.
    Run {
        /// Checkpoint folder, ours or LeRobot's
        #[arg(value_name = "CHECKPOINT")]
        checkpoint: PathBuf,
        /// Inputs
        #[arg(long, value_name = "FILE")]
        inputs: PathBuf,
        /// Where inputs and outputs go
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Mean of the L1 loss: all numbers (LeRobot up to 0.5) or those that are not padding (from 0.6 on) [default: as
        /// the file or the checkpoint says]
        #[arg(long, value_name = "NAME")]
        l1_mean: Option<MeanName>,
        /// Optimiser steps whose losses are written
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=1000))]
        steps: u16,
        /// How these steps are made
        #[arg(long, value_name = "NAME", default_value = "plain")]
        optimiser: OptimiserName,
    },
    /// Give a checkpoint from elsewhere a parity certificate, so that it may drive
    ///
    /// The copy holds the same network and normalisation, and recorded inputs and outputs of every step. Compare it with
    /// its origin first (`policy run`): a certificate proves that nothing changes from here on, not that nothing did.
    Certify {
        /// Checkpoint folder
        #[arg(value_name = "CHECKPOINT")]
        checkpoint: PathBuf,
        /// Folder of the certified copy; must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MeanName {
    /// All numbers of the batch; padding counts as no error
    All,
    /// The numbers that are not padding
    Valid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OptimiserName {
    /// AdamW at 1e-4 on all parameters, nothing clipped: the recipe of the reference's golden files
    Plain,
    /// AdamW with the checkpoint's two learning rates, gradients cut to norm 10
    Config,
}

pub fn run(args: &PolicyArgs) -> anyhow::Result<Ending> {
    match &args.action {
        PolicyAction::Show { checkpoint } => show(&Policy::load(checkpoint)?),
        PolicyAction::Run { checkpoint, inputs, out, l1_mean, steps, optimiser } => {
            let policy = Policy::load(checkpoint)?;
            let l1_mean = l1_mean.map(|name| match name {
                MeanName::All => L1Mean::All,
                MeanName::Valid => L1Mean::Valid,
            });
            let steps = usize::from(*steps);
            let options = match optimiser {
                OptimiserName::Plain => RunOptions { l1_mean, steps, ..RunOptions::default() },
                OptimiserName::Config => RunOptions { l1_mean, steps, optimiser: StepRecipe::Config },
            };
            let count = run_file(&policy, inputs, out, options)?;
            say(&format!("{}: {} arrays and numbers", out.display(), count));
        }
        PolicyAction::Certify { checkpoint, out } => {
            if out.exists() {
                bail!("{} exists already; name a new folder with --out", out.display());
            }
            Policy::load(checkpoint)?.save(out)?;
            show(&Policy::load(out)?);
        }
    }
    Ok(Ending::Done)
}

fn show(policy: &Policy) {
    let config = policy.config();
    for camera in &config.cameras {
        say(&format!("camera       {} {}×{}", camera.key, camera.width, camera.height));
    }
    say(&format!("state        {} numbers, environment {}", config.state_dim, config.env_dim));
    say(&format!("actions      chunks of {} by {} numbers", config.chunk_size, config.action_dim));
    say(&format!("image net    {:?}", config.backbone));
    say(&format!(
        "transformer  {} features, {} heads, {} + {} layers{}",
        config.dim_model,
        config.n_heads,
        config.n_encoder_layers,
        config.n_decoder_layers,
        if config.use_vae { ", variational encoder" } else { "" }
    ));
    say(&format!("seen         {} samples", policy.samples()));
    match policy.check_drivable() {
        Ok(()) => say("certificate  reproduced; it may drive"),
        Err(error) => say(&format!("certificate  {error}")),
    }
}
