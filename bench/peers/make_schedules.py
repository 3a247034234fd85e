"""Writes what transformers' learning-rate schedules give: a list of {name, options, learningRate, warmupSteps, totalSteps, rates}.
usage: python make_schedules.py OUT.json   (test/fixtures/schedules.json)"""
import json, sys, torch
from transformers import get_scheduler

CASES = [
    ('linear', {}), ('cosine', {}), ('constant', {}), ('constant_with_warmup', {}),
    ('cosine_with_restarts', {}), ('cosine_with_restarts', {'num_cycles': 3}),
    ('polynomial', {}), ('polynomial', {'power': 2.0, 'lr_end': 1e-5}),
    ('inverse_sqrt', {}), ('inverse_sqrt', {'timescale': 7}),
    ('cosine', {'num_cycles': 1.5}),
    ('cosine_with_min_lr', {'min_lr': 5e-5}), ('cosine_with_min_lr', {'min_lr_rate': 0.1}),
    ('warmup_stable_decay', {'num_decay_steps': 6}),
    ('warmup_stable_decay', {'num_decay_steps': 6, 'num_stable_steps': 4, 'min_lr_ratio': 0.1, 'decay_type': 'linear'}),
    ('warmup_stable_decay', {'num_decay_steps': 8, 'decay_type': '1-sqrt'}),
]
camel = lambda name: ''.join(part.capitalize() if i else part for i, part in enumerate(name.split('_')))
out = []
for name, options in CASES:
    for warmup in (0, 3):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
        schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=20, scheduler_specific_kwargs=dict(options))
        rates = []
        for _ in range(20):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step(); schedule.step()
        out.append({'name': name, 'options': {camel(k): v for k, v in options.items()}, 'learningRate': 2e-4, 'warmupSteps': warmup, 'totalSteps': 20, 'rates': rates})
json.dump(out, open(sys.argv[1], 'w'), indent=1)
print(len(out), 'schedules')
