#![allow(missing_docs)]
use model_swapper::ModelSwapper; use pointsman_sdk::fake::*; use pointsman_sdk::*; use std::time::Instant;
#[test] fn cost(){
 let _g=Host::new().with_model(Model::named("lmstudio/google/translategemma-12b-it")).install();
 let t=Instant::now(); let s=configured::<ModelSwapper>("{}").unwrap(); println!("configure {:?}",t.elapsed());
 let agent="Please look at the failing pipeline in our repository and find out why the integration tests of the payment module time out on the second runner. The logs are below; start from the first error.\n";
 for (n,text) in [("agent16k",agent.repeat(85)),("agent200",agent.to_string()),("short","fix the build please".into()),("hot translate",format!("Translate this into German:\n{}","The train is late. ".repeat(180))),("16k translate word",format!("{} translate {}",agent.repeat(40),agent.repeat(40))),("oneline16k",agent.replace('\n'," ").repeat(85)),("cjk16k","我们今天去公园散步然后吃饭。".repeat(380))]{
  let turn=Turn::saying(&text); let k=2000; for _ in 0..50 {let _=s.on_request(&turn);} let t=Instant::now(); for _ in 0..k { std::hint::black_box(s.on_request(&turn).unwrap()); } println!("{n} {} bytes: {:?} routed={}",text.len(),t.elapsed()/k, !matches!(s.on_request(&turn).unwrap(),Verdict::Pass)); } }
