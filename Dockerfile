# docker build -t meter .  &&  docker run --rm meter check-config
# A configuration file goes to /etc/meter/meter.toml, secrets into files that SOLVAPAY_SECRET_KEY_FILE and the like name.
FROM python:3.13-slim

COPY requirements/runtime.txt /opt/meter/requirements.txt
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /opt/meter/requirements.txt
COPY meter /opt/meter/meter

ENV PYTHONPATH=/opt/meter \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/meter
USER 10001:10001
EXPOSE 8480

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8480/healthz', timeout=4)"]

# No shell in between: SIGTERM arrives, and what is held is sent and committed before the end.
ENTRYPOINT ["python", "-m", "meter"]
CMD ["run"]
