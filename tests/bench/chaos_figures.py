"""The figures of docs/CHAOS.md: the paper's measures over the layers by themselves, sealed and opened by testdata/seal/chaos.py."""

import hashlib
import struct
import sys
from pathlib import Path

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).parents[2] / "testdata/seal"))
import chaos  # noqa: E402
from pydicom.data import get_testdata_file
def eight(f):
    d=pydicom.dcmread(get_testdata_file(f)); a=d.pixel_array.astype(float)
    if a.ndim>2: a=a[0] if a.shape[-1] not in (3,) else a.mean(-1)
    lo,hi=np.percentile(a,[1,99]); return (np.clip((a-lo)/(hi-lo),0,1)*255).astype(np.uint8)
def fundus(n=256):
    y,x=np.mgrid[-1:1:n*1j,-1:1:n*1j]; r=np.hypot(x,y); v=150*(1-.4*r)+60*np.exp(-((x-.4)**2+y**2)/.01)
    for k in range(9): v-=40*np.exp(-(np.sin(3*np.arctan2(y,x-.4)+k+3*r)**2)/.003)*(r<.9)
    return np.where(r<.95,np.clip(v,0,255),0).astype(np.uint8)
def xray(n=256):
    y,x=np.mgrid[-1:1:n*1j,-1:1:n*1j]; v=200-90*np.exp(-((abs(x)-.42)**2/.05+y**2/.3))+25*np.cos(14*y)*np.exp(-x**2/.5)
    return np.clip(v+np.random.default_rng(1).normal(0,3,(n,n)),0,255).astype(np.uint8)
def seal(name,data,seed,outputs):
    picture=hashlib.sha256(b"p").digest(); vals=chaos.mix(name,outputs,picture,seed)
    par=bytes(32)+struct.pack(">6d",*vals); out=bytearray()
    for n in range((len(data)+65535)//65536):
        b=data[n*65536:(n+1)*65536]
        x,y,z=chaos.sequences(name,*chaos.start_of(name,par,vals,seed,n),(len(b)+3)//4)
        key=b"".join(w.to_bytes(4,"big") for w in z); rows,rest=divmod(len(b),256); p=bytearray()
        cols=chaos.order(x,256)
        for r in chaos.order(y,rows): p+=bytes(b[256*r+c] for c in cols)
        p+=bytes(b[256*rows+c] for c in chaos.order(x,rest))
        out+=bytes(a^k for a,k in zip(p,key))
    assert chaos.opened(name,par+bytes(out),seed)==data
    return bytes(out)
def corr(a,dy,dx):
    u=a[:a.shape[0]-dy,:a.shape[1]-dx].ravel().astype(float); v=a[dy:,dx:].ravel().astype(float); return np.corrcoef(u,v)[0,1]
for im,a in [("CT",eight("CT_small.dcm")),("MR",eight("MR_small.dcm")),("X-ray, drawn",xray()),("fundus, drawn",fundus())]:
    for name in ("logistic","lorenz"):
        s1=bytes(range(32)); s2=bytes([1])+s1[1:]; o=[123456,777777,9999999,5555555,16000000,42]
        c=np.frombuffer(seal(name,a.tobytes(),s1,o),np.uint8).reshape(a.shape); c2=np.frombuffer(seal(name,a.tobytes(),s2,o),np.uint8).reshape(a.shape)
        h=np.bincount(c.ravel(),minlength=256)/c.size; e=-(h[h>0]*np.log2(h[h>0])).sum()
        f=lambda p,q:(100*(p!=q).mean(),100*np.abs(p.astype(int)-q).mean()/255)
        mse=((a.astype(float)-c)**2).mean(); cs=[corr(c,*d) for d in ((0,1),(1,0),(1,1))]
        n1,u1=f(a,c); n2,u2=f(c,c2)
        print(f"| {im}, {a.shape[1]} x {a.shape[0]} | {name} | {n2:.2f} | {u2:.2f} | {u1:.2f} | {e:.4f} | {min(cs):.4f} to {max(cs):.4f} | {mse:.0f} | {10*np.log10(255**2/mse):.2f} |")
