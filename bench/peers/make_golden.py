"""Writes a golden directory: values from PyTorch + PEFT, computed in float64 from float32 weights.
usage: python make_golden.py OUT_DIR NAME ARCH SEED HIDDEN LAYERS HEADS KV FF VOCAB RANK ALPHA TARGETS TIE [dora]
ARCH is qwen2, llama, qwen3 (heads of 16, wider than HIDDEN / HEADS) or llama3 (rope scaling, short enough to matter in 24 tokens).
The directories in test/fixtures/golden:
python make_golden.py OUT tiny-qwen3 qwen3 31 32 2 4 2 64 320 4 8 q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj 1
python make_golden.py OUT tiny-llama3-rope llama3 41 32 2 2 1 64 320 4 16 q_proj,k_proj,down_proj 1
python make_golden.py OUT tiny-qwen2-dora qwen2 51 32 2 4 2 64 320 4 8 q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj 1 dora
python make_golden.py OUT tiny-llama-dora llama 61 32 2 4 2 64 320 4 16 q_proj,v_proj,down_proj 0 dora"""
import sys, json, os, torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model
out,name,arch,seed,H,L,nh,kv,ff,V,r,alpha,targets,tie=sys.argv[1:15]
seed,H,L,nh,kv,ff,V,r,alpha=map(int,(seed,H,L,nh,kv,ff,V,r,alpha)); tie=tie=='1'; dora=sys.argv[15:]==['dora']
d=os.path.join(out,name); os.makedirs(d,exist_ok=True)
torch.manual_seed(seed)
C,M={'qwen2':(Qwen2Config,Qwen2ForCausalLM),'qwen3':(Qwen3Config,Qwen3ForCausalLM)}.get(arch,(LlamaConfig,LlamaForCausalLM))
kw=dict(hidden_size=H,num_hidden_layers=L,num_attention_heads=nh,num_key_value_heads=kv,intermediate_size=ff,vocab_size=V,
        max_position_embeddings=512,tie_word_embeddings=tie,rms_norm_eps=1e-6,initializer_range=0.15,bos_token_id=1,eos_token_id=2,pad_token_id=0)
if arch=='qwen3': kw['head_dim']=16
theta=10000.0 if arch in ('llama','llama3') else 1000000.0
scaled={'rope_type':'llama3','rope_theta':theta,'factor':8.0,'low_freq_factor':1.0,'high_freq_factor':4.0,'original_max_position_embeddings':64}
c=C(**kw,rope_parameters=scaled if arch=='llama3' else {'rope_type':'default','rope_theta':theta})
m=M(c).float()
with torch.no_grad():
    for n,p in m.named_parameters():
        if 'norm' in n: p.add_(torch.randn_like(p)*0.1)
        if n.endswith('bias'): p.copy_(torch.randn_like(p)*0.2)
m.save_pretrained(d)
m=M.from_pretrained(d,dtype=torch.float64,attn_implementation='eager')
pm=get_peft_model(m,LoraConfig(r=r,lora_alpha=alpha,lora_dropout=0.0,target_modules=targets.split(','),task_type='CAUSAL_LM',use_dora=dora)).double()
g=torch.Generator().manual_seed(seed+1)
with torch.no_grad():
    for n,p in pm.named_parameters():
        if 'lora_magnitude' in n: p.mul_(1+0.1*torch.randn(p.shape,generator=g,dtype=torch.float64))
        elif 'lora_' in n: p.copy_(torch.randn(p.shape,generator=g,dtype=torch.float64)*(0.05 if 'lora_B' in n else 0.2))
# As PEFT's files have it: a magnitude's name ends without .weight.
key=lambda n:n.replace('magnitude_vector.default.weight','magnitude_vector').replace('.default','')
lora0={key(n):p.detach().float().clone().contiguous() for n,p in pm.named_parameters() if 'lora_' in n}
# round the start to float32 so that both sides start from the same numbers
with torch.no_grad():
    for n,p in pm.named_parameters():
        if 'lora_' in n: p.copy_(p.float().double())
save_file(lora0,os.path.join(d,'adapter_start.safetensors'))
pm.peft_config['default'].base_model_name_or_path=name; pm.peft_config['default'].save_pretrained(d)
B,T=3,24
ids=torch.randint(3,V,(B,T),generator=g); lens=[24,17,9]
att=torch.zeros(B,T,dtype=torch.long); lab=torch.full((B,T),-100)
for b,n in enumerate(lens):
    att[b,:n]=1; ids[b,n:]=0; s=n//3; lab[b,s:n]=ids[b,s:n]
o=pm(input_ids=ids,attention_mask=att,labels=lab)
o.loss.backward()
res={'input_ids':ids,'attention_mask':att,'labels':lab,'logits':(o.logits*att[...,None]).detach().float().contiguous()}
grads={key(n):p.grad.float().contiguous() for n,p in pm.named_parameters() if 'lora_' in n}
save_file(res,os.path.join(d,'batch.safetensors')); save_file(grads,os.path.join(d,'gradients.safetensors'))
# packed: the same three samples in one row of 50 tokens, positions restarting, no attention across samples
seg=[ids[b,:n] for b,n in enumerate(lens)]
pk=torch.cat(seg)[None]; pos=torch.cat([torch.arange(n) for n in lens])[None]
lk=torch.cat([lab[b,:n].clone() for b,n in enumerate(lens)])[None]
mask=torch.zeros(1,1,50,50,dtype=torch.bool); i=0
for n in lens: mask[0,0,i:i+n,i:i+n]=torch.ones(n,n).tril().bool(); lk[0,i]=-100; i+=n
add=torch.zeros(mask.shape,dtype=torch.float64).masked_fill(~mask,-1e9)
pm.zero_grad(); op=pm(input_ids=pk,position_ids=pos,attention_mask=add,labels=lk)
save_file({'input_ids':pk,'position_ids':pos,'labels':lk,'sequence_lengths':torch.tensor(lens),'logits':op.logits.detach().float().contiguous()},os.path.join(d,'packed.safetensors'))
# ten AdamW steps on fresh batches, clip 1.0, cosine with warm-up 2
opt=torch.optim.AdamW([p for p in pm.parameters() if p.requires_grad],lr=5e-3,betas=(0.9,0.999),eps=1e-8,weight_decay=0.01)
from transformers import get_cosine_schedule_with_warmup
sch=get_cosine_schedule_with_warmup(opt,2,10)
losses,norms,lrs,steps=[],[],[],[]
for s in range(10):
    x=torch.randint(3,V,(2,16),generator=g); steps.append(x)
    pm.zero_grad(); l=pm(input_ids=x,labels=x).loss; l.backward()
    gn=torch.nn.utils.clip_grad_norm_([p for p in pm.parameters() if p.requires_grad],1.0)
    lrs.append(sch.get_last_lr()[0]); opt.step(); sch.step(); losses.append(l.item()); norms.append(gn.item())
save_file({key(n):p.detach().float().contiguous() for n,p in pm.named_parameters() if 'lora_' in n},os.path.join(d,'adapter_after_10_steps.safetensors'))
save_file({'input_ids':torch.stack(steps)},os.path.join(d,'training_batches.safetensors'))
# merged model, greedy continuation
pm.eval(); prompt=seg[0][:8][None]
gen=pm.generate(input_ids=prompt,attention_mask=torch.ones_like(prompt),max_new_tokens=16,do_sample=False,eos_token_id=None,pad_token_id=0)
mm=pm.merge_and_unload().float(); save_file({k:v.contiguous() for k,v in mm.state_dict().items() if not(tie and k=='lm_head.weight')},os.path.join(d,'merged_after_10_steps.safetensors'))
json.dump({'loss':o.loss.item(),'packed_loss':op.loss.item(),'training':{'lr':5e-3,'betas':[0.9,0.999],'eps':1e-8,'weight_decay':0.01,'max_grad_norm':1.0,'schedule':'cosine, 2 warm-up steps of 10','learning_rates':lrs,'losses':losses,'gradient_norms':norms},'greedy':{'prompt':prompt[0].tolist(),'tokens':gen[0].tolist()}},open(os.path.join(d,'expected.json'),'w'),indent=1)
print(name,'loss',o.loss.item(),'packed',op.loss.item(),'end',losses[0],losses[-1])
