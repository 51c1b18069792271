"""The notebook runner, strict and resumable, over papermill.

A profile is a folder of YAML files, one per notebook and named like it:
params/PROFILE, or one of the reader's own (`places`, which also says where its
results go; `new` makes one). Before the first kernel starts, every parameter of the run is checked
against the notebook's cell tagged `parameters`. The executed notebook goes to
outputs/PROFILE/NOTEBOOK.ipynb; its tables and figures go to the folder that its
parameter `output` names, outputs/PROFILE/NOTEBOOK unless set otherwise, all at
once when it is done. A notebook that finished is run again only if something it
depends on changed.

    parameters   what a notebook declares, what a run gives
    plan         which notebooks run, with which parameters
    resume       what a finished notebook depended on
    check/       values, relations and files, checked before long work starts
    digests      of files by their content, remembered
    execute      run notebooks, keep what is reproducible of them
    places       where relative paths start
    scorecard    the claims of all notebooks in one table
    new          a profile of one's own to begin with
    receipt      whether the tables are the committed ones
"""
