import click


@click.command()
def chart(): ...
