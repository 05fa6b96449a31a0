"""Training and inference rates of an ACT network in PyTorch, for `ralphton bench policy`.

Reads one JSON object from the first argument: the network's configuration as in ralphton.json, height and width
of its image, batch, updates, threads. Prints one JSON object. Modules, loss and optimiser are those of LeRobot's ACT.
"""
import json, math, sys, time
try:
    import torch
except ImportError:
    sys.exit("PyTorch is not installed for this Python")
from torch import nn
import torch.nn.functional as F

order = json.loads(sys.argv[1])
c = order["config"]
torch.set_num_threads(order["threads"])
torch.manual_seed(0)
D, HEADS, FF = c["dim_model"], c["n_heads"], c["dim_feedforward"]


class Frozen(nn.Module):
    def __init__(self, n):
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((n,), value))

    def forward(self, x):
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


class Block(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), Frozen(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), Frozen(o)
        self.down = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), Frozen(o)) if stride > 1 or i != o else None

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.down is None else self.down(x)))


def backbone():
    b = c["backbone"]
    if b["kind"] == "group_norm_cnn":
        layers, inputs = [], 3
        for outputs in b["channels"]:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.GroupNorm(b["groups"], outputs), nn.ReLU()]
            inputs = outputs
        return nn.Sequential(*layers), inputs
    layers, inputs = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), Frozen(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers), inputs


class Layer(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        drop = c["dropout"]
        self.self_attn = nn.MultiheadAttention(D, HEADS, dropout=drop)
        self.cross = nn.MultiheadAttention(D, HEADS, dropout=drop) if decoder else None
        self.linear1, self.linear2 = nn.Linear(D, FF), nn.Linear(FF, D)
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(3 if decoder else 2))
        self.drop = nn.Dropout(drop)

    def forward(self, x, pos, memory=None, memory_pos=None, mask=None):
        q = x + pos
        x = self.norms[0](x + self.drop(self.self_attn(q, q, value=x, key_padding_mask=mask)[0]))
        if self.cross is not None:
            x = self.norms[1](x + self.drop(self.cross(x + pos, memory + memory_pos, value=memory)[0]))
        return self.norms[-1](x + self.drop(self.linear2(self.drop(F.relu(self.linear1(x))))))


class Act(nn.Module):
    def __init__(self):
        super().__init__()
        S, L, T = c["state_dim"], c["latent_dim"], c["chunk_size"]
        self.backbone, channels = backbone()
        self.image, self.state, self.latent = nn.Conv2d(channels, D, 1), nn.Linear(S, D), nn.Linear(L, D)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(c["n_encoder_layers"]))
        self.decoder = nn.ModuleList(Layer(True) for _ in range(c["n_decoder_layers"]))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, 4)
        self.pos, self.queries = nn.Embedding(2, D), nn.Embedding(T, D)
        with torch.no_grad():
            side = self.backbone(torch.zeros(1, 3, order["height"], order["width"])).shape[2:]
        self.register_buffer("image_pos", torch.randn(side[0] * side[1], 1, D))
        if c["use_vae"]:
            self.vae = nn.ModuleList(Layer(False) for _ in range(c["n_vae_encoder_layers"]))
            self.cls, self.vae_state, self.vae_action = nn.Embedding(1, D), nn.Linear(S, D), nn.Linear(4, D)
            self.vae_out = nn.Linear(D, 2 * L)
            self.register_buffer("vae_pos", torch.randn(T + 2, 1, D))

    def forward(self, image, state, actions=None):
        B, kl = image.shape[0], 0.0
        latent = torch.zeros(B, c["latent_dim"])
        if c["use_vae"] and actions is not None:
            x = torch.cat([self.cls.weight[None].expand(B, 1, D), self.vae_state(state)[:, None], self.vae_action(actions)], 1)
            x = x.transpose(0, 1)
            for layer in self.vae:
                x = layer(x, self.vae_pos)
            mu, log = self.vae_out(x[0]).chunk(2, 1)
            latent = mu + (log / 2).exp() * torch.randn_like(mu)
            kl = (-0.5 * (1 + log - mu**2 - log.exp())).sum(-1).mean()
        map_ = self.image(self.backbone(image)).flatten(2).permute(2, 0, 1)
        x = torch.cat([self.latent(latent)[None], self.state(state)[None], map_])
        pos = torch.cat([self.pos.weight[:, None], self.image_pos])
        for layer in self.encoder:
            x = layer(x, pos)
        y = torch.zeros(c["chunk_size"], B, D)
        for layer in self.decoder:
            y = layer(y, self.queries.weight[:, None], x, pos)
        return self.head(self.norm(y)).transpose(0, 1), kl


net, B = Act(), order["batch"]
optimiser = torch.optim.AdamW(net.parameters(), lr=7e-4, weight_decay=1e-4)
image = torch.randn(B, 3, order["height"], order["width"])
state, target = torch.randn(B, c["state_dim"]), torch.randn(B, c["chunk_size"], 4)


def step():
    out, kl = net(image, state, target)
    loss = (out - target).abs().mean() + c["kl_weight"] * kl
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 10.0)
    optimiser.step()


step()
started = time.perf_counter()
for _ in range(order["updates"]):
    step()
rate = B * order["updates"] / (time.perf_counter() - started)
net.eval()
times = []
with torch.inference_mode():
    for _ in range(30):
        started = time.perf_counter()
        net(image[:1], state[:1])
        times.append(time.perf_counter() - started)
print(json.dumps({"torch": torch.__version__, "samples_per_s": rate, "inference_ms": 1e3 * sorted(times)[len(times) // 2]}))
