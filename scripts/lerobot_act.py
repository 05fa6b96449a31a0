#!/usr/bin/env python3
"""Compares this project's ACT with LeRobot's.

    pip install lerobot==0.4.4                                 (a virtual environment of its own is best)
    scripts/lerobot_act.py golden tests/fixtures/golden        write the golden cases of the tests anew
    scripts/lerobot_act.py inputs CHECKPOINT in.json [--raw]   draw inputs for a checkpoint
    ralphton policy run CHECKPOINT --inputs in.json --out out.json
    scripts/lerobot_act.py check CHECKPOINT out.json           open it in LeRobot, strictly, and compare every number
    scripts/lerobot_act.py make DIR                            a checkpoint written by LeRobot, to open here

`check` ends with exit code 1 when a number differs by more than 1e-4, absolute or relative to its size.
"""
import argparse
import json
import math
import sys
from pathlib import Path

try:
    import numpy as np
    import torch
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy, ACTTemporalEnsembler
    from lerobot.policies.act.processor_act import make_act_pre_post_processors
    from lerobot.policies.factory import make_pre_post_processors
    import lerobot
except ImportError as error:
    sys.exit(f"lerobot is not installed here ({error}); install it with: pip install lerobot==0.4.4")

TOLERANCE = 1e-4
TRAINING = ("action", "action_is_pad", "latent_eps")


# ── Numbers that both sides can make without a file ──────────────────────────────────────────────────────────────────

def numbers(name, count):
    """`count` numbers in [-1, 1) that depend on the name alone: FNV-1a, then SplitMix64."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0


def weight(name, shape, seed):
    v = numbers(f"{seed}/{name}", math.prod(shape))
    if name.endswith("running_var"):
        v = 1.0 + 0.5 * v
    elif len(shape) == 1 and name.endswith("weight"):
        v = 1.0 + 0.3 * v
    elif len(shape) == 1:
        v = 0.1 * v
    elif not name.endswith("embed.weight"):
        v = v * math.sqrt(3.0 / math.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


def statistics(config, seed):
    stats = {}
    for key, feature in {**config.input_features, **config.output_features}.items():
        shape = (3, 1, 1) if feature.type is FeatureType.VISUAL else feature.shape
        draw = lambda stat, f: f(numbers(f"{seed}/{key}.{stat}", math.prod(shape))).astype(np.float32).reshape(shape)
        stats[key] = {
            "mean": draw("mean", lambda v: 0.3 * v), "std": draw("std", lambda v: 1.0 + 0.5 * v),
            "min": draw("min", lambda v: 0.5 * v - 2.0), "max": draw("max", lambda v: 0.5 * v + 2.0),
            "q01": draw("q01", lambda v: 0.5 * v - 1.5), "q99": draw("q99", lambda v: 0.5 * v + 1.5),
            "q10": draw("q10", lambda v: 0.5 * v - 1.0), "q90": draw("q90", lambda v: 0.5 * v + 1.0),
        }
    return stats


# ── Cases ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def image(height, width):
    return PolicyFeature(FeatureType.VISUAL, (3, height, width))


def config(inputs, action=4, **changes):
    base = dict(
        chunk_size=6, n_action_steps=6, pretrained_backbone_weights=None, dim_model=32, n_heads=4, dim_feedforward=48,
        n_encoder_layers=2, n_decoder_layers=2, n_vae_encoder_layers=1, latent_dim=8, dropout=0.0, device="cpu",
        push_to_hub=False, optimizer_lr=1e-4, optimizer_lr_backbone=2e-5,
    )
    return ACTConfig(
        input_features=inputs, output_features={"action": PolicyFeature(FeatureType.ACTION, (action,))},
        **{**base, **changes},
    )


def cases():
    state = PolicyFeature(FeatureType.STATE, (4,))
    env = PolicyFeature(FeatureType.ENV, (3,))
    ego = "observation.images.ego"
    modes = lambda visual, state, action: {
        "VISUAL": NormalizationMode[visual], "STATE": NormalizationMode[state], "ACTION": NormalizationMode[action]}
    return {
        "post_norm": config({ego: image(33, 41), "observation.state": state}),
        "pre_norm_gelu": config(
            {ego: image(24, 40), "observation.state": state}, pre_norm=True, feedforward_activation="gelu",
            n_vae_encoder_layers=2, n_decoder_layers=3, kl_weight=1.0),
        "two_cameras_env": config(
            {"observation.images.top": image(32, 20), "observation.state": state,
             "observation.environment_state": env, ego: image(17, 23)}, action=5),
        "no_vae_no_state": config({ego: image(35, 21)}, use_vae=False, n_decoder_layers=1),
        "blind": config(
            {"observation.environment_state": env, "observation.state": state}, action=2, pre_norm=True,
            normalization_mapping={**modes("MEAN_STD", "MIN_MAX", "MIN_MAX"), "ENV": NormalizationMode.QUANTILES}),
        "min_max": config(
            {ego: image(20, 20), "observation.state": state}, n_encoder_layers=1,
            normalization_mapping=modes("IDENTITY", "QUANTILE10", "QUANTILES")),
        "resnet50_dilated": config(
            {ego: image(33, 40), "observation.state": state}, vision_backbone="resnet50",
            replace_final_stride_with_dilation=True, n_encoder_layers=1, n_decoder_layers=1),
    }


def build(cfg, seed):
    policy = ACTPolicy(cfg)
    state = {
        name: tensor if name.endswith("vae_encoder_pos_enc") else weight(name, tuple(tensor.shape), seed)
        for name, tensor in policy.state_dict().items()
    }
    policy.load_state_dict(state, strict=True)
    return policy


# ── Inputs and outputs ───────────────────────────────────────────────────────────────────────────────────────────────

def draw_inputs(cfg, seed, batch=2, raw=False, training=True):
    def array(name, shape, scale=1.0, shift=0.0):
        values = shift + scale * torch.from_numpy(numbers(f"{seed}/input/{name}", math.prod(shape)))
        return torch.round(values.reshape(shape), decimals=3).float()

    inputs = {}
    for key, feature in cfg.input_features.items():
        half = 0.5 if raw and feature.type is FeatureType.VISUAL else None
        inputs[key] = array(key, (batch, *feature.shape), half or 1.5, half or 0.0)
    if training:
        T, A = cfg.chunk_size, cfg.output_features["action"].shape[0]
        inputs["action"] = array("action", (batch, T, A), 1.5)
        inputs["action_is_pad"] = torch.zeros(batch, T, dtype=torch.bool)
        inputs["action_is_pad"][0, T - 2:] = True
        if cfg.use_vae:
            inputs["latent_eps"] = array("latent_eps", (batch, cfg.latent_dim), 1.5)
    return inputs


def outputs_of(policy, inputs, raw, pre, post, steps=5, plain=True):
    """Everything that `ralphton policy run` writes, computed by LeRobot."""
    cfg = policy.config
    batch = {key: value for key, value in inputs.items() if key != "latent_eps"}
    if not cfg.robot_state_feature:
        # LeRobot asks the state for its device, also where the policy has none.
        batch["observation.state"] = torch.zeros(1)
    policy.eval()
    told = {key: value for key, value in batch.items() if key not in TRAINING}
    if raw:
        actions = post(policy.predict_action_chunk(pre(dict(told))))
        batch = pre(dict(batch)) if "action" in batch else batch
    else:
        actions = policy.predict_action_chunk(told)
    result = {"outputs": {"actions": actions}}
    if "action" not in inputs:
        return result
    batch["action_is_pad"] = inputs["action_is_pad"].bool()
    policy.train()
    noise = inputs.get("latent_eps")
    randn_like = torch.randn_like
    torch.randn_like = lambda *_args, **_kwargs: noise
    try:
        seen = dict(batch)
        if cfg.image_features:
            seen["observation.images"] = [batch[key] for key in cfg.image_features]
        hat, (mu, log_sigma_x2) = policy.model(seen)
        loss, parts = policy.forward(batch)
        policy.zero_grad()
        loss.backward()
        error = (batch["action"] - hat).abs() * ~batch["action_is_pad"].unsqueeze(-1)
        out = result["outputs"]
        out["train.actions_hat"] = hat
        if cfg.use_vae:
            out["train.mu"], out["train.log_sigma_x2"] = mu, log_sigma_x2
            out["train.kld_loss"] = torch.tensor(parts["kld_loss"])
        out["train.l1_loss_all"] = error.mean()
        out["train.l1_loss_valid"] = error.sum() / ((~batch["action_is_pad"]).sum() * error.shape[-1])
        out["train.loss"], out["train.l1_loss"] = loss, torch.tensor(parts["l1_loss"])
        out["grad_norm"] = {n: p.grad.norm().item() for n, p in policy.named_parameters() if p.requires_grad}
        if plain:
            optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-4, weight_decay=cfg.optimizer_weight_decay)
        else:
            optimizer = torch.optim.AdamW(
                policy.get_optim_params(), lr=cfg.optimizer_lr, weight_decay=cfg.optimizer_weight_decay)
        out["losses"] = []
        for _ in range(steps):
            loss, _ = policy.forward(batch)
            optimizer.zero_grad()
            loss.backward()
            if not plain:
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
            optimizer.step()
            out["losses"].append(loss.item())
    finally:
        torch.randn_like = randn_like
    return result


def ensemble_of(chunks, coeff):
    ensembler = ACTTemporalEnsembler(coeff, chunks.shape[2])
    return torch.stack([ensembler.update(chunk.clone()) for chunk in chunks])


def packed(tensor):
    tensor = tensor.detach()
    values = [round(v, 3) if abs(v * 1000 - round(v * 1000)) < 1e-3 else float(f"{v:.8g}")
              for v in tensor.flatten().double().tolist()]
    return {"shape": list(tensor.shape), "data": values}


def unpacked(array):
    return torch.tensor(array["data"], dtype=torch.float32).reshape(array["shape"])


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def processors(cfg, stats):
    return make_act_pre_post_processors(cfg, dataset_stats=stats)


# ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def golden(args):
    for seed, (name, cfg) in enumerate(cases().items(), start=1):
        folder = Path(args.out) / name
        folder.mkdir(parents=True, exist_ok=True)
        write_config(cfg, folder)
        pre, post = processors(cfg, statistics(cfg, seed))
        for raw in (False, True):
            inputs = draw_inputs(cfg, seed, raw=raw, training=not raw)
            result = outputs_of(build(cfg, seed), inputs, raw, pre, post, plain=False)
            outputs = {key: packed(value) if isinstance(value, torch.Tensor) else value
                       for key, value in result["outputs"].items()}
            file = {"space": "raw" if raw else "normalized", "lerobot": lerobot.__version__,
                    "inputs": {key: packed(value) for key, value in inputs.items()}, "outputs": outputs}
            if not raw:
                chunks = torch.from_numpy(numbers(f"{seed}/chunks", 9 * 2 * cfg.chunk_size * 3)).float()
                A = cfg.output_features["action"].shape[0]
                chunks = torch.round(chunks[: 9 * cfg.chunk_size * A].reshape(9, 1, cfg.chunk_size, A), decimals=3)
                coeff = 0.01 if seed % 2 else -0.2
                outputs["ensemble"] = {"coeff": coeff, "chunks": packed(chunks), "out": packed(ensemble_of(chunks, coeff))}
            write(folder / ("golden_raw.json" if raw else "golden.json"), file)
        print(f"{name}: seed {seed}, {folder}")


def write_config(cfg, folder):
    cfg._save_pretrained(folder)


def make(args):
    folder = Path(args.dir)
    cfg = cases()[args.case]
    policy = build(cfg, args.seed)
    policy.save_pretrained(folder)
    for processor in processors(cfg, statistics(cfg, args.seed)):
        processor.save_pretrained(folder)
    print(f"{folder}: {args.case}, seed {args.seed}, written by LeRobot {lerobot.__version__}")


def load(folder):
    from lerobot.configs.policies import PreTrainedConfig

    cfg = PreTrainedConfig.from_pretrained(folder)
    cfg.pretrained_path = folder
    policy = ACTPolicy.from_pretrained(folder, config=cfg, strict=True)
    # `from_pretrained` may only log what is missing; this raises.
    from safetensors.torch import load_file

    policy.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=True)
    pre, post = make_pre_post_processors(cfg, pretrained_path=folder)
    return cfg, policy, pre, post


def inputs(args):
    cfg, *_ = load(args.checkpoint)
    arrays = draw_inputs(cfg, args.seed, raw=args.raw, training=cfg.dropout == 0.0 or args.training)
    file = {"space": "raw" if args.raw else "normalized", "lerobot": lerobot.__version__,
            "inputs": {key: packed(value) for key, value in arrays.items()}}
    write(Path(args.file), file)
    print(f"{args.file}: {', '.join(arrays)}")


def check(args):
    cfg, policy, pre, post = load(args.checkpoint)
    file = json.loads(Path(args.file).read_text())
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    given = {key: unpacked(value) for key, value in file["inputs"].items()}
    ours = file["outputs"]
    theirs = outputs_of(policy, given, file["space"] == "raw", pre, post, len(ours.get("losses", [])))["outputs"]
    worst = 0.0

    def compare(name, ours, theirs):
        nonlocal worst
        ours, theirs = torch.as_tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64).detach()
        if ours.shape != theirs.shape:
            sys.exit(f"{name}: shape {tuple(ours.shape)} here, {tuple(theirs.shape)} in LeRobot")
        difference = ((ours - theirs).abs() / theirs.abs().clamp(min=1.0)).max().item()
        worst = max(worst, difference)
        return f"{name}: {difference:.2e}"

    if set(ours) - {"ensemble"} != set(theirs):
        sys.exit(f"only one side has {sorted(set(ours) ^ set(theirs))}")
    for name, value in theirs.items():
        if name == "grad_norm":
            if set(ours[name]) != set(value):
                sys.exit(f"{name}: only one side has {sorted(set(ours[name]) ^ set(value))}")
            names = sorted(value)
            print(compare(name, [ours[name][n] for n in names], [value[n] for n in names]))
        else:
            print(compare(name, ours[name] if name == "losses" else unpacked(ours[name]), value))
    print(f"LeRobot {lerobot.__version__} opened {args.checkpoint} strictly; largest difference {worst:.2e}")
    sys.exit(0 if worst <= TOLERANCE else 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("golden")
    command.add_argument("out")
    command.set_defaults(run=golden)
    command = commands.add_parser("make")
    command.add_argument("dir")
    command.add_argument("--case", default="post_norm", choices=sorted(cases()))
    command.add_argument("--seed", type=int, default=11)
    command.set_defaults(run=make)
    command = commands.add_parser("inputs")
    command.add_argument("checkpoint")
    command.add_argument("file")
    command.add_argument("--raw", action="store_true")
    command.add_argument("--training", action="store_true", help="labels too, although the network has dropout")
    command.add_argument("--seed", type=int, default=1)
    command.set_defaults(run=inputs)
    command = commands.add_parser("check")
    command.add_argument("checkpoint")
    command.add_argument("file")
    command.set_defaults(run=check)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.run(args)


if __name__ == "__main__":
    main()
