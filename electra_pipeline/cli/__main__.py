from electra_pipeline.cli.app import main

main()
