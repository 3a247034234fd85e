"""Writes what torch.amp.GradScaler does: the scale and its growth tracker after each of some steps, of which some have a gradient that is not finite.
usage: python make_loss_scale.py OUT_FILE"""
import sys, json, torch

GROWTH = 3
finite = [1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1]
scaler = torch.amp.GradScaler('cpu', growth_interval=GROWTH)
p = torch.zeros(2, requires_grad=True)
optimizer = torch.optim.SGD([p], lr=1.0)
steps = []
for ok in finite:
    before = p.detach().clone()
    optimizer.zero_grad()
    scaler.scale((p * (1.0 if ok else float('inf'))).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    steps.append({'finite': bool(ok), 'stepped': not torch.equal(before, p.detach()), 'scale': scaler.get_scale(), 'finiteSteps': scaler._get_growth_tracker()})
json.dump({'source': f'torch {torch.__version__}', 'first': torch.amp.GradScaler('cpu').get_scale(), 'growthInterval': GROWTH, 'steps': steps}, open(sys.argv[1], 'w'), indent=1)
