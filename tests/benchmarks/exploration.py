"""What sampled masks tell apart: for several sizes of block and kappa, how much the masks of one group differ
in reward and in SI-SDR, how the two go together, and what sampling costs on average.

    python tests/benchmarks/exploration.py CHECKPOINT --encoders FILE.pt --queries runs/queries.npz [--corpus
        cache/corpus] [--batches 8]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from offline_training.cli.common import read_recipe, read_table
from offline_training.data.corpus import Corpus
from offline_training.data.mixtures import MixtureDataset
from offline_training.data.training_data import TrainingData
from offline_training.evaluation.metrics import si_sdr
from offline_training.models.streaming_state import Memory
from offline_training.reinforce import policy
from offline_training.reinforce.config import ReinforceRecipe
from offline_training.reinforce.reinforcement import Reinforcement, reinforced_trainer
from offline_training.reinforce.setup import RewardSources, open_ears, prepare_hearing
from offline_training.training.objective import whole_hops
from offline_training.training.prepared_run import prepare_run
from offline_training.utils.run import RunOptions

BLOCKS = ((1, 1), (6, 4), (12, 8), (24, 8), (24, 16), (48, 8), (1000, 8), (1000, 16))
GROUP = 8


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("checkpoint", type=Path)
    options.add_argument("--encoders", type=Path)
    options.add_argument("--queries", type=Path, required=True)
    options.add_argument("--corpus", type=Path, default=Path("cache/corpus"))
    options.add_argument("--batches", type=int, default=8)
    given = options.parse_args()
    table = read_table(given.queries)
    with tempfile.TemporaryDirectory() as folder:
        recipe = read_recipe(Path("reinforce"), "reinforce", ReinforceRecipe)
        prepared = prepare_run(RunOptions(Path(folder), start=given.checkpoint), recipe)
        hearing = prepare_hearing(prepared, table, open_ears(RewardSources(given.encoders)))
        trainer = reinforced_trainer(prepared, TrainingData(Corpus(given.corpus), table), hearing)
    learner = trainer.method
    assert isinstance(learner, Reinforcement)
    model = trainer.model.eval()
    data = MixtureDataset(trainer.data.corpus, table, trainer.mixtures, given.batches, trainer.config.seed)
    print(
        f"{'block':>10} {'kappa':>5} {'centred':>7} {'reward':>7} {'spread':>7} {'SI-SDR':>7} {'spread':>7} "
        f"{'correlation':>11}"
    )
    for block, kappa, centred in [
        *((b, 9.0, False) for b in BLOCKS),
        *(((24, 16), k, c) for k in (3.0, 9.0, 30.0) for c in (False, True)),
    ]:
        earned, quality = [], []
        for i in range(given.batches):
            batch = data[i]
            torch.manual_seed(i)
            with torch.no_grad():
                mixtures = batch["mixtures"][:, None, : whole_hops(model, batch)]
                spectra = model.spectra(mixtures, Memory()).repeat(batch["mixture_of"])
                proposal = learner.propose(model, spectra, batch).centre
                masks = policy.sample(proposal[:, None].expand(-1, GROUP, -1, -1), kappa, block)
                heard = policy.centred(masks, kappa) if centred else masks
                estimates = [
                    model.apply_mask(spectra, heard[:, g], Memory())[:, 0, model.latency :]
                    for g in range(GROUP)
                ]
                targets = batch["targets"][:, : estimates[0].shape[1]]
                anchor = learner.anchors(targets, batch["labels"])
                there = ~batch["absent"]
                earned.append(torch.stack([(learner.ear(e) * anchor).sum(1) for e in estimates], 1)[there])
                quality.append(torch.stack([si_sdr(e, targets) for e in estimates], 1)[there])
        r, q = torch.cat(earned), torch.cat(quality)
        together = np.nanmean([np.corrcoef(a, b)[0, 1] for a, b in zip(r.numpy(), q.numpy(), strict=True)])
        means = (
            f"{r.mean():7.3f} {r.std(1).mean():7.4f} {q.mean():7.2f} {q.std(1).mean():7.2f} {together:11.2f}"
        )
        print(f"{'x'.join(map(str, block)):>10} {kappa:5.0f} {centred!s:>7} {means}", flush=True)


if __name__ == "__main__":
    main()
