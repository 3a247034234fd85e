"""Writes what transformers' learning-rate schedules give: a list of {name, options, learningRate, warmupSteps, totalSteps, rates}, and of those that
follow evaluations {name, options, learningRate, mode, metrics, rates}; then what its EarlyStoppingCallback and Trainer make of evaluations.
usage: python make_schedules.py SCHEDULES.json EVALUATIONS.json   (test/fixtures/schedules.json test/fixtures/evaluations.json)"""
import json, random, sys, torch
from types import SimpleNamespace
from transformers import EarlyStoppingCallback, Trainer, get_scheduler

CASES = [
    ('linear', {}), ('cosine', {}), ('constant', {}), ('constant_with_warmup', {}),
    ('cosine_with_restarts', {}), ('cosine_with_restarts', {'num_cycles': 3}),
    ('polynomial', {}), ('polynomial', {'power': 2.0, 'lr_end': 1e-5}),
    ('inverse_sqrt', {}), ('inverse_sqrt', {'timescale': 7}),
    ('cosine', {'num_cycles': 1.5}),
    ('cosine_with_min_lr', {'min_lr': 5e-5}), ('cosine_with_min_lr', {'min_lr_rate': 0.1}),
    ('cosine_warmup_with_min_lr', {'min_lr_rate': 0.1}), ('cosine_warmup_with_min_lr', {'min_lr': 5e-5, 'warmup_lr_rate': 0.2, 'num_cycles': 0.75}),
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

draw = random.Random(5)
# Falls, then stands still, then grows, each with some noise.
curve = [2 / (1 + i) + 0.02 * draw.random() for i in range(12)] + [0.2 + 0.02 * draw.random() for _ in range(14)] + [0.2 + 0.05 * i for i in range(14)]
followed = []
for name, options in [
    ('reduce_lr_on_plateau', {'patience': 2}), ('reduce_lr_on_plateau', {'patience': 1, 'factor': 0.5, 'cooldown': 2, 'min_lr': 1e-5}),
    ('reduce_lr_on_plateau', {'patience': 0, 'threshold': 0.01, 'threshold_mode': 'abs', 'factor': 0.7, 'eps': 1e-5}),
    ('greedy', {'patience': 1, 'min_lr': 1e-5}), ('greedy', {'patience': 0, 'factor': 0.5, 'min_lr': 5e-5, 'max_lr': 4e-4, 'cooldown': 1, 'warmup': 2, 'reset_start': 3}),
    ('greedy', {'patience': 0, 'factor': 0.8, 'min_lr': 1e-5, 'smooth': True, 'window_size': 3, 'threshold': 0.01, 'threshold_mode': 'rel'}), ('greedy', {}),
]:
    for mode in ('min', 'max'):
        metrics = curve if mode == 'min' else [3 - value for value in curve]
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-4)
        schedule = get_scheduler(name, optimizer, scheduler_specific_kwargs=dict(options, mode=mode))
        rates = []
        for metric in metrics:
            schedule.step(metric)
            rates.append(optimizer.param_groups[0]['lr'])
        followed.append({'name': name, 'options': {camel(k): v for k, v in options.items()}, 'learningRate': 2e-4, 'mode': mode, 'metrics': metrics, 'rates': rates})
stopped = []
for metric, values in [('loss', curve), ('loss', [1, 0.99, 0.985, 0.5, 0.5, 0.5]), ('mean_token_accuracy', [0.1, 0.2, 0.2, 0.19, 0.3, 0.31, 0.29, 0.28])]:
    for patience, threshold in [(1, 0.0), (2, 0.02), (3, 0.1)]:
        greater = not metric.endswith('loss')
        args = SimpleNamespace(metric_for_best_model=metric, greater_is_better=greater, save_strategy='steps', load_best_model_at_end=True, eval_strategy='steps')
        state = SimpleNamespace(best_metric=None, best_global_step=None, global_step=0)
        control, callback = SimpleNamespace(should_training_stop=False), EarlyStoppingCallback(patience, threshold)
        for value in values:
            state.global_step += 1
            callback.on_evaluate(args, state, control, {'eval_' + metric: value})
            Trainer._determine_best_metric(SimpleNamespace(args=args, state=state), {'eval_' + metric: value}, None)
            if control.should_training_stop: break
        stopped.append({'metric': metric, 'values': values, 'patience': patience, 'threshold': threshold, 'evaluations': state.global_step,
                        'stopped': control.should_training_stop, 'bestStep': state.best_global_step, 'bestMetric': state.best_metric})
json.dump({'schedules': followed, 'earlyStopping': stopped}, open(sys.argv[2], 'w'), indent=1)
print(len(followed), 'that follow evaluations,', len(stopped), 'early ends')
